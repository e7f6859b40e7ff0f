// SPDX-License-Identifier: Apache-2.0
// Combinations that are tried: the whole product of some factors, or a part of it in which any
// two of their levels still meet.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <numeric>
#include <utility>

namespace trireme::test {

inline constexpr bool kEither[] = {false, true};

/// Of combinations one in n, for the largest n that leaves every pair of levels: those whose
/// levels, each counted from 0, add up to a multiple of n. Other factors make up for whatever a
/// pair adds up to as long as their own sums reach n - 1.
template <std::size_t K>
std::size_t share_of(const std::array<std::size_t, K>& sizes) {
  static_assert(K > 2, "pairs of two factors are their product");
  if (std::getenv("TRIREME_WHOLE_PRODUCTS") != nullptr) return 1;
  std::array<std::size_t, K> sorted = sizes;
  std::sort(sorted.begin(), sorted.end(), std::greater());
  return std::accumulate(sorted.begin() + 2, sorted.end(), std::size_t{1}) - (K - 2);
}

/// f(level of each factor) for that part of the product; for all of it where
/// TRIREME_WHOLE_PRODUCTS is set.
template <class F, class... Factors>
void for_pairs(F&& f, const Factors&... factors) {
  const std::array<std::size_t, sizeof...(Factors)> sizes{std::size(factors)...};
  const std::size_t share = share_of(sizes);
  std::array<std::size_t, sizeof...(Factors)> at{};
  for (;;) {
    if (std::accumulate(at.begin(), at.end(), std::size_t{0}) % share == 0) {
      [&]<std::size_t... I>(std::index_sequence<I...>) { f(factors[at[I]]...); }
      (std::index_sequence_for<Factors...>());
    }
    std::size_t digit = 0;
    while (digit < at.size() && ++at[digit] == sizes[digit]) at[digit++] = 0;
    if (digit == at.size()) return;
  }
}

}  // namespace trireme::test
