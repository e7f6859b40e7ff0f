// SPDX-License-Identifier: Apache-2.0
// The processor's vectors in the type used to compute, loaded from any floating type. Dot
// products of few rows run at the rate of memory, which needs half precision to be widened in
// registers.
#pragma once

#include <array>
#include <bit>
#include <cstring>
#if defined(__F16C__) && defined(__AVX__)
#include <immintrin.h>
#endif

#include "windows.hpp"

// Vectors are passed to inlined functions alone, so that no binary interface matters.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace trireme::cpu {

#if defined(__AVX512F__)
inline constexpr int kLaneBytes = 64;
#elif defined(__AVX__)
inline constexpr int kLaneBytes = 32;
#else
inline constexpr int kLaneBytes = 16;
#endif

template <class T>
struct LanesOf;
template <>
struct LanesOf<float> {
  using type = float __attribute__((vector_size(kLaneBytes)));
};
template <>
struct LanesOf<double> {
  using type = double __attribute__((vector_size(kLaneBytes)));
};
template <class T>
using Lanes = typename LanesOf<T>::type;
template <class T>
inline constexpr std::int64_t kLanes = kLaneBytes / static_cast<std::int64_t>(sizeof(T));

template <class T>
[[gnu::always_inline]] inline Lanes<T> load_lanes(const T* from) {
  Lanes<T> x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
[[gnu::always_inline]] inline Lanes<float> load_lanes(const Bf16* from) {
  using Narrow = std::uint16_t __attribute__((vector_size(kLaneBytes / 2)));
  using Wide = std::uint32_t __attribute__((vector_size(kLaneBytes)));
  Narrow x;
  std::memcpy(&x, from, sizeof x);
  return std::bit_cast<Lanes<float>>(__builtin_convertvector(x, Wide) << 16U);
}
[[gnu::always_inline]] inline Lanes<float> load_lanes(const Half* from) {
#if defined(__AVX512F__)
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return std::bit_cast<Lanes<float>>(_mm512_cvtph_ps(x));
#elif defined(__F16C__) && defined(__AVX__)
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return std::bit_cast<Lanes<float>>(_mm256_cvtph_ps(x));
#else
  Lanes<float> y;
  widen(DType::f16, from, reinterpret_cast<float*>(&y), kLanes<float>);
  return y;
#endif
}
/// The first n elements, and zeros.
template <class T, class W>
[[gnu::always_inline]] inline Lanes<T> load_some(const W* from, std::int64_t n) {
  std::array<W, static_cast<std::size_t>(kLanes<T>)> whole{};
  std::memcpy(whole.data(), from, static_cast<std::size_t>(n) * sizeof(W));
  return load_lanes(whole.data());
}

/// The sum of all lanes, in a fixed order.
template <class T>
[[gnu::always_inline]] inline T sum_lanes(const Lanes<T>& x) {
  std::array<T, static_cast<std::size_t>(kLanes<T>)> part;
  std::memcpy(part.data(), &x, sizeof x);
  for (std::size_t n = part.size() / 2; n > 0; n /= 2) {
    for (std::size_t i = 0; i < n; ++i) part[i] += part[i + n];
  }
  return part[0];
}

/// Rows of the few, and of the many, whose dot products are taken at once: as many as 16
/// registers hold.
inline constexpr int kFewAtOnce = 4;
inline constexpr int kManyAtOnce = 2;
/// Rows of the many for one row of the few.
inline constexpr int kManyForOne = 4;

/// Where rows lie in memory.
template <class T>
struct RowsAt {
  const T* data;
  std::int64_t stride;
};

/// out[r · out_stride + j] = few_r · many_j for R rows of the few and J of the many. Unrolled
/// loops keep the sums in registers.
template <int R, int J, class T, class W>
[[gnu::always_inline]] inline void dot_block(const RowsAt<T>& few, const RowsAt<W>& many,
                                             std::int64_t k, T* out, std::int64_t out_stride) {
  Lanes<T> sum[R * J];
#pragma GCC unroll 16
  for (int i = 0; i < R * J; ++i) sum[i] = Lanes<T>{};
  const std::int64_t whole = k / kLanes<T> * kLanes<T>;
  for (std::int64_t at = 0; at < whole; at += kLanes<T>) {
    Lanes<T> w[J];
#pragma GCC unroll 16
    for (int j = 0; j < J; ++j) w[j] = load_lanes(many.data + j * many.stride + at);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Lanes<T> x = load_lanes(few.data + r * few.stride + at);
#pragma GCC unroll 16
      for (int j = 0; j < J; ++j) sum[r * J + j] += x * w[j];
    }
  }
  if (whole < k) {
#pragma GCC unroll 16
    for (int j = 0; j < J; ++j) {
      const auto w = load_some<T>(many.data + j * many.stride + whole, k - whole);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        sum[r * J + j] += w * load_some<T>(few.data + r * few.stride + whole, k - whole);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R * J; ++i) out[i / J * out_stride + i % J] = sum_lanes<T>(sum[i]);
}

/// out[r · out_stride + j] = few_r · many_j for `m` rows of the few and `n` of the many, which
/// are read from memory once. A result's bits depend on its two rows alone.
template <class T, class W>
void dots(const RowsAt<T>& few, std::int64_t m, const RowsAt<W>& many, std::int64_t n,
          std::int64_t k, T* out, std::int64_t out_stride) {
  const auto block = [&]<int R, int J>(std::int64_t r, std::int64_t j) {
    dot_block<R, J>(RowsAt<T>{few.data + r * few.stride, few.stride},
                    RowsAt<W>{many.data + j * many.stride, many.stride}, k,
                    out + r * out_stride + j, out_stride);
  };
  std::int64_t j = 0;
  for (; j + kManyForOne <= n; j += kManyForOne) {
    std::int64_t r = 0;
    for (; r + kFewAtOnce <= m; r += kFewAtOnce) {
      for (int i = 0; i < kManyForOne; i += kManyAtOnce) {
        block.template operator()<kFewAtOnce, kManyAtOnce>(r, j + i);
      }
    }
    for (; r < m; ++r) block.template operator()<1, kManyForOne>(r, j);
  }
  for (; j < n; ++j) {
    for (std::int64_t r = 0; r < m; ++r) block.template operator()<1, 1>(r, j);
  }
}

/// Calls f with a null pointer to the storage type of `type`, for arrays that T computes with.
template <class T, class F>
void by_storage(DType type, F&& f) {
  if constexpr (std::is_same_v<T, double>) {
    f(static_cast<const double*>(nullptr));
  } else {
    if (type == DType::bf16) return f(static_cast<const Bf16*>(nullptr));
    if (type == DType::f16) return f(static_cast<const Half*>(nullptr));
    f(static_cast<const float*>(nullptr));
  }
}

}  // namespace trireme::cpu
