// SPDX-License-Identifier: Apache-2.0
// The CPU backend: Eigen and OpenBLAS, with OpenMP threads.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trireme/device/device.hpp"
#include "trireme/ops/kernels.hpp"

namespace trireme {

[[nodiscard]] std::unique_ptr<Device> make_cpu_device();
[[nodiscard]] std::unique_ptr<Kernels> make_cpu_kernels();

/// Sets the number of threads (≥ 1) that kernels of this rank use from now on.
void set_cpu_threads(int threads);
/// One entry for each processor, by number: 1 if this process may run on that processor, else
/// 0.
[[nodiscard]] std::vector<std::uint8_t> processor_mask();

/// The kernels that OpenBLAS chose for this processor, such as "SkylakeX".
[[nodiscard]] std::string blas_core();
/// The version of OpenBLAS and blas_core(), such as "0.3.21 SkylakeX".
[[nodiscard]] std::string blas_version();
/// OpenBLAS falls back to SSE kernels, several times slower, on processors newer than the
/// library. If OpenBLAS did, returns the name of the best kernels that this processor can run.
/// OPENBLAS_CORETYPE must have this value before the library is loaded. Returns nullopt if
/// OpenBLAS or the user has chosen well.
[[nodiscard]] std::optional<std::string> better_blas_core();

struct GemmRate {
  double operations = 0;  ///< in a second: the best of several GEMMs
  double busy = 1;        ///< the share of all threads' time in which they had a processor
};
/// Measures fp32 GEMMs of size n³ with the current number of threads for about `seconds`.
/// Throws Error where memory is short for OpenBLAS.
[[nodiscard]] GemmRate measure_gemm_rate(int n, double seconds, int threads);

/// Loops bound by memory bandwidth, after McCalpin's STREAM.
enum class StreamLoop : std::uint8_t {
  copy,         ///< b = a
  triad,        ///< c = a + s·b
  update,       ///< b, c and d change as in AdamW, from their values and a
  mixed_update  ///< update, and e receives the upper 16 bits of b
};
/// Runs a loop over its first arrays, a to e. All are contiguous and of equal length: four of
/// fp32, and e of bf16.
void run_stream_loop(StreamLoop loop, const std::array<View, 5>& arrays);

}  // namespace trireme
