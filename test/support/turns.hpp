// SPDX-License-Identifier: Apache-2.0
// Combinations of factors' levels: the whole product, or a share of it in which any two levels
// still meet.
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

/// Whether this is a campaign, which leaves nothing out.
inline bool whole_products() { return std::getenv("TRIREME_WHOLE_PRODUCTS") != nullptr; }

inline constexpr bool kEither[] = {false, true};

/// Returns the largest n for which one combination in n still has every pair of levels. The
/// share has the combinations whose levels, counted from 0, add up to a multiple of n. Other
/// factors can complete any pair as long as their own sums reach n - 1.
template <std::size_t K>
std::size_t share_of(const std::array<std::size_t, K>& sizes) {
  static_assert(K > 2, "pairs of two factors are their product");
  if (whole_products()) return 1;
  std::array<std::size_t, K> sorted = sizes;
  std::sort(sorted.begin(), sorted.end(), std::greater());
  return std::accumulate(sorted.begin() + 2, sorted.end(), std::size_t{1}) - (K - 2);
}

/// Calls f(level of each factor) for that share of the product, or for the whole product if
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
