// SPDX-License-Identifier: Apache-2.0
// The CPU backend: Eigen and OpenBLAS, threads by OpenMP.
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

/// Threads that kernels of this rank use from now on (≥ 1).
void set_cpu_threads(int threads);
/// 1 for each processor that this process may run on, 0 for others, by number.
[[nodiscard]] std::vector<std::uint8_t> processor_mask();

/// The kernels that OpenBLAS chose for this processor ("SkylakeX").
[[nodiscard]] std::string blas_core();
/// "0.3.21 SkylakeX": that, and the library's version.
[[nodiscard]] std::string blas_version();
/// OpenBLAS falls back to SSE kernels, several times slower, on processors newer than itself.
/// Then the name of the best kernels that this processor can run, to be set as
/// OPENBLAS_CORETYPE before the library is loaded; nothing if OpenBLAS chose well or the user
/// chose.
[[nodiscard]] std::optional<std::string> better_blas_core();

/// Best rate of n³ fp32 products with the current threads, in operations a second, over about
/// `seconds`.
[[nodiscard]] double measure_gemm_rate(int n, double seconds);

/// Loops that do next to nothing but move memory, after McCalpin's STREAM.
enum class StreamLoop : std::uint8_t {
  copy,         ///< b = a
  triad,        ///< c = a + s·b
  update,       ///< b, c and d change by what they hold and by a, as in AdamW
  mixed_update  ///< ... and b goes to e, cut to its upper 16 bits
};
/// Runs one over its first arrays: four of fp32 and e of bf16, of equal length, contiguous.
void run_stream_loop(StreamLoop loop, const std::array<View, 5>& arrays);

}  // namespace trireme
