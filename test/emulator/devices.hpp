// SPDX-License-Identifier: Apache-2.0
// The GPUs that are pretended: as many H100s as the environment says.
//   TRIREME_EMULATED_DEVICES     how many, 1 if unset
//   TRIREME_EMULATED_MEMORY      bytes of each, 80 GiB if unset
//   TRIREME_EMULATED_DRIVER      the driver's CUDA version, e.g. 12040; 0: no driver
//   TRIREME_EMULATED_CAPABILITY  e.g. 7.0
//   TRIREME_EMULATED_SEED        of the orders of execution, 1 if unset
//   TRIREME_EMULATED_COUNTS      set: cudaProfilerStop() prints what was called since the start
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
/// Of the calling thread.
[[nodiscard]] int current_device();
/// Why no call can work, or cudaSuccess.
[[nodiscard]] cudaError_t driver_trouble();

/// Keeps an error for cudaGetLastError, also one that only says "not ready", as CUDA does.
cudaError_t remember(cudaError_t code);
/// The kept error; stays.
[[nodiscard]] cudaError_t last_error();

/// One call of the API.
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
