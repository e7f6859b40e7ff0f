// SPDX-License-Identifier: Apache-2.0
// The processor's vectors in the type used to compute, loaded from any floating type. Dot
// products of few rows run at the rate of memory, which needs half precision to be widened in
// registers.
#pragma once

#include <array>
#include <bit>
#include <cstring>
#if defined(__AVX__)
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

/// sum += x y, rounded once where the processor can. Left alone, GCC decides for each loop, and
/// bits would differ between numbers of rows.
template <class T>
[[gnu::always_inline]] inline void add_product(Lanes<T>& sum, const Lanes<T>& x,
                                               const Lanes<T>& y) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) {
    sum = std::bit_cast<Lanes<T>>(_mm512_fmadd_ps(
        std::bit_cast<__m512>(x), std::bit_cast<__m512>(y), std::bit_cast<__m512>(sum)));
  } else {
    sum = std::bit_cast<Lanes<T>>(_mm512_fmadd_pd(
        std::bit_cast<__m512d>(x), std::bit_cast<__m512d>(y), std::bit_cast<__m512d>(sum)));
  }
#elif defined(__AVX__) && defined(__FMA__)
  if constexpr (std::is_same_v<T, float>) {
    sum = std::bit_cast<Lanes<T>>(_mm256_fmadd_ps(
        std::bit_cast<__m256>(x), std::bit_cast<__m256>(y), std::bit_cast<__m256>(sum)));
  } else {
    sum = std::bit_cast<Lanes<T>>(_mm256_fmadd_pd(
        std::bit_cast<__m256d>(x), std::bit_cast<__m256d>(y), std::bit_cast<__m256d>(sum)));
  }
#else
  sum += x * y;
#endif
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

/// Rows of the few, and of the many, whose dot products are taken at once: as many as the
/// registers hold.
inline constexpr int kFewAtOnce = 6;
#if defined(__AVX512F__)
inline constexpr int kManyAtOnce = 4;
#else
inline constexpr int kManyAtOnce = 2;
#endif
/// Rows of the many for one or two rows of the few.
inline constexpr int kManyForTwo = 4;

/// Where rows lie in memory.
template <class T>
struct RowsAt {
  const T* data;
  std::int64_t stride;

  [[nodiscard]] RowsAt from(std::int64_t row, std::int64_t column) const {
    return {data + row * stride + column, stride};
  }
};

/// Elements of m packed rows of k.
template <class T>
constexpr std::int64_t packed_elements(std::int64_t m, std::int64_t k) {
  return (k + kLanes<T> - 1) / kLanes<T> * kLanes<T> * m;
}

/// Packs m rows: the first vector of each row, the second one of each, and so on. The last
/// vectors end with zeros.
template <class T, class W>
void pack_rows(const RowsAt<W>& rows, std::int64_t m, std::int64_t k, T* to) {
  for (std::int64_t at = 0; at < k; at += kLanes<T>) {
    for (std::int64_t r = 0; r < m; ++r, to += kLanes<T>) {
      const W* const from = rows.data + r * rows.stride + at;
      const Lanes<T> x = at + kLanes<T> <= k ? load_lanes(from) : load_some<T>(from, k - at);
      std::memcpy(to, &x, sizeof x);
    }
  }
}

/// Keeps a vector in a register: GCC would load it again for each use, and spill others.
template <class V>
[[gnu::always_inline]] inline void hold([[maybe_unused]] V& x) {
#if defined(__AVX__)
  asm("" : "+x"(x));
#endif
}

/// Asks for a cache line. GCC 12 deletes functions that do nothing but __builtin_prefetch().
[[gnu::always_inline]] inline void prefetch(const void* from) {
#if defined(__x86_64__)
  asm volatile("prefetcht0 (%0)" : : "r"(from));
#else
  __builtin_prefetch(from, 0, 3);
#endif
}

/// sum[r · J + j] += few_r · many_j, lane by lane, for R packed rows of the few and J of the
/// many. `step` elements lie between vectors of one of the few. Unrolled loops keep the sums in
/// registers. P rows of `next` come into the cache meanwhile.
template <int R, int J, int P, class T, class W, class N>
[[gnu::always_inline]] inline void add_products(const T* few, std::int64_t step, RowsAt<W> many,
                                                std::int64_t k, Lanes<T> (&sum)[R * J],
                                                RowsAt<N> next) {
  constexpr std::int64_t kLine =
      std::max(kLanes<T>, std::int64_t{64} / static_cast<std::int64_t>(sizeof(W)));
  const auto add = [&](const Lanes<T>(&w)[J]) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Lanes<T> x = load_lanes(few + r * kLanes<T>);
      hold(x);
#pragma GCC unroll 16
      for (int j = 0; j < J; ++j) add_product<T>(sum[r * J + j], x, w[j]);
    }
    few += step;
  };
  const auto add_whole = [&](std::int64_t i) __attribute__((always_inline)) {
    Lanes<T> w[J];
#pragma GCC unroll 16
    for (int j = 0; j < J; ++j) {
      w[j] = load_lanes(many.data + j * many.stride + i);
      hold(w[j]);
    }
    add(w);
  };
  for (; k >= kLine; k -= kLine) {
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) prefetch(next.data + p * next.stride);
#pragma GCC unroll 16
    for (std::int64_t i = 0; i < kLine; i += kLanes<T>) add_whole(i);
    many.data += kLine;
    next.data += kLine;
  }
  for (; k >= kLanes<T>; k -= kLanes<T>) {
    add_whole(0);
    many.data += kLanes<T>;
  }
  if (k == 0) return;
  Lanes<T> w[J];
#pragma GCC unroll 16
  for (int j = 0; j < J; ++j) w[j] = load_some<T>(many.data + j * many.stride, k);
  add(w);
}

/// Calls f<R>(r) for blocks of m rows from r on. Their numbers of rows R are about equal.
template <class F>
[[gnu::always_inline]] inline void by_few(std::int64_t m, F&& f) {
  std::int64_t r = 0;
  for (std::int64_t blocks = (m + kFewAtOnce - 1) / kFewAtOnce; blocks > 0; --blocks) {
    const std::int64_t rows = (m - r + blocks - 1) / blocks;
    switch (rows) {
      case 1:
        f.template operator()<1>(r);
        break;
      case 2:
        f.template operator()<2>(r);
        break;
      case 3:
        f.template operator()<3>(r);
        break;
      case 4:
        f.template operator()<4>(r);
        break;
      case 5:
        f.template operator()<5>(r);
        break;
      default:
        f.template operator()<6>(r);
    }
    r += rows;
  }
}

/// Calls f<J>(j) for blocks of n rows of the many from j on, beside m rows of the few.
template <class F>
[[gnu::always_inline]] inline void by_many(std::int64_t m, std::int64_t n, F&& f) {
  std::int64_t j = 0;
  if (m <= 2) {
    for (; j + kManyForTwo <= n; j += kManyForTwo) f.template operator()<kManyForTwo>(j);
  } else {
    for (; j + kManyAtOnce <= n; j += kManyAtOnce) f.template operator()<kManyAtOnce>(j);
  }
  for (; j < n; ++j) f.template operator()<1>(j);
}

/// out[r · out_stride + j] = few_r · many_j for `m` packed rows of the few and `n` of the many,
/// which are read from memory once. A result's bits depend on its two rows alone.
template <class T, class W>
void dots(const T* few, std::int64_t m, const RowsAt<W>& many, std::int64_t n, std::int64_t k,
          T* out, std::int64_t out_stride) {
  by_many(m, n, [&]<int J>(std::int64_t j) {
    by_few(m, [&]<int R>(std::int64_t r) {
      Lanes<T> sum[R * J] = {};
      add_products<R, J, 0>(few + r * kLanes<T>, m * kLanes<T>, many.from(j, 0), k, sum, many);
#pragma GCC unroll 32
      for (int i = 0; i < R * J; ++i) {
        out[(r + i / J) * out_stride + j + i % J] = sum_lanes<T>(sum[i]);
      }
    });
  });
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
