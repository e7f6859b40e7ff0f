// SPDX-License-Identifier: Apache-2.0
// Converts bf16 in loops that the compiler vectorises, and fp16 with the processor's conversion
// instructions, if any. This file is compiled for TRIREME_ARCH.
#include "trireme/core/convert.hpp"

#include <cstring>
#if defined(__F16C__) && defined(__AVX__)
#include <immintrin.h>
#endif

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

constexpr std::uint32_t kSign = 0x80000000U;

float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = (std::uint32_t{half} & 0x8000U) << 16U;
  const std::uint32_t rest = std::uint32_t{half} & 0x7fffU;
  if (rest >= 0x7c00U) {  // inf stays inf; NaN becomes a quiet NaN
    const std::uint32_t quiet = rest > 0x7c00U ? 0x400000U : 0U;
    return std::bit_cast<float>(sign | 0x7f800000U | quiet | (rest & 0x3ffU) << 13U);
  }
  if (rest >= 0x400U) return std::bit_cast<float>(sign | ((rest << 13U) + (112U << 23U)));
  const float size = static_cast<float>(rest) * 0x1p-24F;  // subnormal or zero: exact
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(size));
}

std::uint16_t float_to_half(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = (bits & kSign) >> 16U;
  const std::uint32_t size = bits & ~kSign;
  std::uint32_t half = 0;
  if (size > 0x7f800000U) {
    half = 0x7e00U | (size >> 13U & 0x3ffU);  // NaN: quiet, with the upper bits of its payload
  } else if (size >= 0x47800000U) {
    half = 0x7c00U;  // 2^16 and more
  } else if (size >= 0x38800000U) {
    // A carry out of the fraction raises the exponent, up to inf, which is right too.
    half = (size - (112U << 23U) + 0xfffU + (size >> 13U & 1U)) >> 13U;
  } else {
    // Subnormal: the last bit of a float near 0.5 is worth 2^-24. Adding 0.5 rounds correctly.
    const float sum = std::bit_cast<float>(size) + 0.5F;
    half = std::bit_cast<std::uint32_t>(sum) - std::bit_cast<std::uint32_t>(0.5F);
  }
  return static_cast<std::uint16_t>(sign | half);
}

void widen_half(const std::uint16_t* from, float* to, std::int64_t n) {
  std::int64_t i = 0;
#if defined(__AVX512F__)
  for (; i + 16 <= n; i += 16) {
    const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    _mm512_storeu_ps(to + i, _mm512_cvtph_ps(h));
  }
#elif defined(__F16C__) && defined(__AVX__)
  for (; i + 8 <= n; i += 8) {
    const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(h));
  }
#endif
  for (; i < n; ++i) to[i] = half_to_float(from[i]);
}

void narrow_half(const float* from, std::uint16_t* to, std::int64_t n) {
  std::int64_t i = 0;
#if defined(__AVX512F__)
  for (; i + 16 <= n; i += 16) {
    const __m256i h = _mm512_cvtps_ph(_mm512_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), h);
  }
#elif defined(__F16C__) && defined(__AVX__)
  for (; i + 8 <= n; i += 8) {
    const __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), h);
  }
#endif
  for (; i < n; ++i) to[i] = float_to_half(from[i]);
}

/// Converts like Bf16(x), in a form that the compiler vectorises.
void narrow_bfloat(const float* from, std::uint16_t* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(from[i]);
    const std::uint32_t rounded = (bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U;
    const std::uint32_t quiet = bits >> 16U | 0x40U;
    to[i] = static_cast<std::uint16_t>((bits & ~kSign) > 0x7f800000U ? quiet : rounded);
  }
}

}  // namespace

void widen(DType type, const void* from, float* to, std::int64_t n) {
  if (n <= 0) return;
  if (type == DType::bf16) {
    const auto* in = static_cast<const Bf16*>(from);
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(in[i]);
  } else if (type == DType::f16) {
    widen_half(static_cast<const std::uint16_t*>(from), to, n);
  } else {
    TRM_CHECK(type == DType::f32, "{} can't be widened to fp32", name_of(type));
    std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
  }
}

void narrow(const float* from, DType type, void* to, std::int64_t n) {
  if (n <= 0) return;
  if (type == DType::bf16) {
    narrow_bfloat(from, static_cast<std::uint16_t*>(to), n);
  } else if (type == DType::f16) {
    narrow_half(from, static_cast<std::uint16_t*>(to), n);
  } else {
    TRM_CHECK(type == DType::f32, "fp32 can't be narrowed to {}", name_of(type));
    std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
  }
}

}  // namespace trireme
