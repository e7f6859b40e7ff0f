// SPDX-License-Identifier: Apache-2.0
// Two words to two normal numbers (Box and Muller 1958), in fp32.
//
// The code uses +, −, ×, ÷ and √ alone, which IEEE 754 rounds in one way. Results of libm
// differ between processors. There is no branch, so that loops become vector code. Compile
// without contraction into fused operations.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace trireme {

struct NormalPair {
  float first;
  float second;
};

/// √(−2 ln u) for u = (word/2 + 1/2) / 2^31, between 0 and 6.7.
inline float normal_radius(std::uint32_t word) {
  constexpr std::int32_t kHalfRoot = 0x3f3504f3;  // √½ as bits
  const float u = (static_cast<float>(static_cast<std::int32_t>(word >> 1U)) + 0.5F) * 0x1p-31F;
  // u = 2^e (1 + f), 1 + f between √½ and √2; ln(1 + f) = 2 artanh(s), |s| < 0.172.
  const auto bits = std::bit_cast<std::int32_t>(u);
  const std::int32_t e = (bits - kHalfRoot) >> 23;
  const float f = std::bit_cast<float>(bits - e * (1 << 23)) - 1.0F;
  const float s = f / (2.0F + f);
  const float z = s * s;
  const float series = 1.0F + z * (1.0F / 3 + z * (1.0F / 5 + z * (1.0F / 7 + z * (1.0F / 9))));
  const float ln = static_cast<float>(e) * 0.693147181F + 2.0F * s * series;
  return std::sqrt(std::max(-2.0F * ln, 0.0F));
}

/// Radius times sine and cosine of angle / 2^32 of a turn.
inline NormalPair box_muller(std::uint32_t angle, std::uint32_t radius) {
  // The nearest quarter turn, and what is left, at most π/4 either way.
  const std::uint32_t quarter = (angle + (1U << 29U)) >> 30U;
  const auto rest = static_cast<std::int32_t>(angle - (quarter << 30U));
  const float x = static_cast<float>(rest) * 1.46291808e-9F;  // 2π / 2^32
  const float z = x * x;
  const float sine =
      x * (1.0F - z * (1.0F / 6 - z * (1.0F / 120 - z * (1.0F / 5040 - z * (1.0F / 362880)))));
  const float cosine =
      1.0F - z * (0.5F - z * (1.0F / 24 -
                              z * (1.0F / 720 - z * (1.0F / 40320 - z * (1.0F / 3628800)))));
  const bool swapped = (quarter & 1U) != 0;
  const std::uint32_t sine_sign = (quarter & 2U) << 30U;
  const std::uint32_t cosine_sign = ((quarter + 1U) & 2U) << 30U;
  const auto a = std::bit_cast<std::uint32_t>(swapped ? cosine : sine) ^ sine_sign;
  const auto b = std::bit_cast<std::uint32_t>(swapped ? sine : cosine) ^ cosine_sign;
  const float r = normal_radius(radius);
  return {r * std::bit_cast<float>(a), r * std::bit_cast<float>(b)};
}

}  // namespace trireme
