// SPDX-License-Identifier: Apache-2.0
// The emulated GPUs: H100s, as many as the environment says.
//   TRIREME_EMULATED_DEVICES     how many, 1 if unset
//   TRIREME_EMULATED_MEMORY      bytes of each, 80 GiB if unset
//   TRIREME_EMULATED_DRIVER      the driver's CUDA version, e.g. 12040; 0: no driver
//   TRIREME_EMULATED_CAPABILITY  e.g. 7.0
//   TRIREME_EMULATED_SEED        seed of the orders of execution, 1 if unset
//   TRIREME_EMULATED_COUNTS      if set, cudaProfilerStop() prints the calls since the start
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>
#include <mutex>
#include <tuple>
#include <utility>

#include "stream_queue.hpp"

namespace trireme::emulator {

[[nodiscard]] int device_count();
[[nodiscard]] std::size_t device_memory();
/// The calling thread's device.
[[nodiscard]] int current_device();
/// Why no call can work; cudaSuccess if calls can.
[[nodiscard]] cudaError_t driver_trouble();

/// Stores an error for cudaGetLastError, as CUDA does. "Not ready" counts as an error too.
cudaError_t remember(cudaError_t code);
/// Returns the stored error without clearing it.
[[nodiscard]] cudaError_t last_error();

/// Runs the body of an API call, under the lock, and stores its error.
template <class F>
cudaError_t call(F&& body) {
  const std::scoped_lock lock(api_mutex());
  if (in_host_function()) return remember(cudaErrorNotPermitted);
  if (const cudaError_t trouble = driver_trouble(); trouble != cudaSuccess) {
    return remember(trouble);
  }
  return remember(std::forward<F>(body)());
}

}  // namespace trireme::emulator
