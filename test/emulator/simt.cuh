// SPDX-License-Identifier: Apache-2.0
// The CPU's version of src/backend/cuda/native/simt.cuh. This file has the same functions, and
// ends the program where a GPU would compute wrong numbers.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../../src/backend/cuda/runtime/check.hpp"
#include "builtins.cuh"
#include "stream_queue.hpp"
#include "warp_matrix.hpp"

namespace trireme::cuda {

/// A grid, and the line of its launch.
struct LaunchGrid {
  template <std::convertible_to<dim3> T>
  // NOLINTNEXTLINE(google-explicit-constructor): callers give a dim3 or a count
  LaunchGrid(const T& value, emulator::Site site = {__builtin_FILE(), __builtin_LINE()})
      : grid(value), where(site) {}
  LaunchGrid(unsigned x, unsigned y, unsigned z = 1,
             emulator::Site site = {__builtin_FILE(), __builtin_LINE()})
      : grid(x, y, z), where(site) {}
  dim3 grid;
  emulator::Site where;
};

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const LaunchGrid& grid, dim3 block,
            std::size_t shared_bytes, cudaStream_t stream, Arguments&&... arguments) {
  static_assert((!std::is_reference_v<Parameters> && ...), "a kernel takes values");
  emulator::queue_kernel(
      stream, {grid.grid, block, shared_bytes, grid.where},
      [kernel, values = std::tuple<std::remove_cv_t<Parameters>...>(static_cast<Parameters>(
                   std::forward<Arguments>(arguments))...)] { std::apply(kernel, values); });
}

template <class T>
T* shared_memory() {
  static_assert(alignof(T) <= 128);
  return static_cast<T*>(emulator::dynamic_shared());
}

inline void cp_async16(void* shared, const void* global, bool valid,
                       emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {
  emulator::check_aligned16(shared, "cp_async16's shared address", site);
  if (valid) emulator::check_aligned16(global, "cp_async16's global address", site);
  emulator::copy_later(shared, global, valid);
}
inline void cp_async_commit() { emulator::close_copies(); }
template <int Left>
void cp_async_wait() {
  emulator::finish_copies(Left);
}

inline void ldmatrix4(std::uint32_t (&r)[4], const void* row,
                      emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {
  emulator::load_matrices(r, row, false, site);
}
inline void ldmatrix4_transposed(std::uint32_t (&r)[4], const void* row,
                                 emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {
  emulator::load_matrices(r, row, true, site);
}

template <class T>
void mma(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
         emulator::Site site = {__builtin_FILE(), __builtin_LINE()}) {
  static_assert(std::is_same_v<T, __nv_bfloat16> || std::is_same_v<T, __half>);
  emulator::multiply_matrices(d, a, b, std::is_same_v<T, __nv_bfloat16>, site);
}

/// Like a GPU, returns 0 below 2^-126.
inline float exp2_fast(float x) {
  const float y = std::exp2(x);
  return y < 0x1p-126F ? 0.0F : y;  // NaN stays NaN
}

[[nodiscard]] std::size_t sort_scratch_bytes(std::int64_t count);
void sort_pairs(cudaStream_t stream, void* scratch, std::size_t scratch_bytes,
                const std::uint32_t* keys, std::uint32_t* sorted_keys,
                const std::uint32_t* values, std::uint32_t* sorted_values, std::int64_t count,
                int bits);

}  // namespace trireme::cuda
