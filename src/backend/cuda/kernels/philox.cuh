// SPDX-License-Identifier: Apache-2.0
// philox() of core/random.hpp on the device, and dropout with it.
#pragma once

#include "trireme/ops/types.hpp"

#include "simt.cuh"

namespace trireme::cuda {

struct PhiloxWords {
  std::uint32_t at[4];
};

__device__ __forceinline__ PhiloxWords philox_words(const RngKey& key, std::uint64_t low,
                                                    std::uint32_t high) {
  auto a = static_cast<std::uint32_t>(low);
  auto b = static_cast<std::uint32_t>(low >> 32U);
  std::uint32_t c = high;
  std::uint32_t d = key.stream;
  auto k0 = static_cast<std::uint32_t>(key.seed);
  auto k1 = static_cast<std::uint32_t>(key.seed >> 32U);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p = std::uint64_t{PHILOX_M4x32_0} * a;
    const std::uint64_t q = std::uint64_t{PHILOX_M4x32_1} * c;
    a = static_cast<std::uint32_t>(q >> 32U) ^ b ^ k0;
    b = static_cast<std::uint32_t>(q);
    c = static_cast<std::uint32_t>(p >> 32U) ^ d ^ k1;
    d = static_cast<std::uint32_t>(p);
    k0 += PHILOX_W32_0;
    k1 += PHILOX_W32_1;
  }
  return {{a, b, c, d}};
}

/// Parameters of one use of dropout in a kernel.
struct Mask {
  RngKey key;
  std::uint64_t first_row;
  std::uint32_t first_quad;  ///< a fourth of Dropout::first_column
  std::uint32_t threshold;   ///< smaller words drop the element
  float keep;                ///< factor of kept elements
};
inline Mask mask_of(const Dropout& spec) {
  return {spec.key, spec.first_row, spec.first_column / 4,
          static_cast<std::uint32_t>(spec.probability * 0x1p32),
          static_cast<float>(1 / (1 - spec.probability))};
}

/// to[j] = base[j] + dropout(x[j]) for N elements from (row, col). col is a multiple of N.
template <int N>
__device__ __forceinline__ void add_dropped(const Mask& mask, std::int64_t row,
                                            std::int64_t col, const float (&x)[N],
                                            const float (&base)[N], float (&to)[N]) {
  PhiloxWords words{};
#pragma unroll
  for (int j = 0; j < N; ++j) {
    if (j % 4 == 0) {
      words = philox_words(mask.key, mask.first_row + static_cast<std::uint64_t>(row),
                           mask.first_quad + static_cast<std::uint32_t>((col + j) / 4));
    }
    std::uint32_t word = words.at[j % 4];
    if constexpr (N == 1) {  // indexing at run time would put the array into memory
      const auto w = static_cast<int>(col % 4);
      word =
          w < 2 ? (w == 0 ? words.at[0] : words.at[1]) : (w == 2 ? words.at[2] : words.at[3]);
    }
    // fmaf rounds once, whatever the compiler does with the surrounding code.
    to[j] = word >= mask.threshold ? fmaf(x[j], mask.keep, base[j]) : base[j];
  }
}

}  // namespace trireme::cuda
