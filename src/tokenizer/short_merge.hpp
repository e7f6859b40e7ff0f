// SPDX-License-Identifier: Apache-2.0
// merge_all() for words of few symbols, without a heap and without memory of its own.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "pair_table.hpp"

namespace trireme {

/// Words of at most kMost symbols, and ranks below kRanks.
class ShortMerge {
 public:
  static constexpr unsigned kPlaceBits = 6;
  static constexpr std::size_t kMost = std::size_t{1} << kPlaceBits;
  static constexpr std::uint32_t kRanks = (1U << (32 - kPlaceBits)) - 1;

  std::array<std::int32_t, kMost> symbols;  ///< the caller sets the first `n`

  /// Merges the symbols, and calls `take` with each that remains. `first` returns the merge of
  /// the symbols at a place and the next, before any merge. The smallest of `keys_` is the next
  /// merge: its rank, and then the place of its left symbol. Symbols are a list over places.
  template <class First, class Take>
  void run(const PairTable& merges, std::size_t n, First first, Take take) {
    if (n == 0) return;
    for (std::size_t i = 0; i < n; ++i) {
      next_[i] = static_cast<std::uint8_t>(i + 1);
      previous_[i + 1] = static_cast<std::uint8_t>(i);
      if (i + 1 < n) set(i, first(i));
    }
    keys_[n - 1] = kNone;
    for (;;) {
      std::uint32_t best = kNone;
      for (std::size_t i = 0; i < n; ++i) best = std::min(best, keys_[i]);
      if (best == kNone) break;
      const std::size_t left = best & (kMost - 1);
      const std::size_t right = next_[left];
      const std::size_t behind = next_[right];
      symbols[left] = merged_[left];
      next_[left] = static_cast<std::uint8_t>(behind);
      previous_[behind] = static_cast<std::uint8_t>(left);
      keys_[right] = kNone;
      keys_[left] = kNone;
      // Both pairs are asked for at once, so that the second does not wait for the first.
      const std::size_t before = left > 0 ? previous_[left] : left;
      if (left > 0) prefetch(merges, symbols[before], symbols[left]);
      if (behind < n) set(left, merges.find(symbols[left], symbols[behind]));
      if (left > 0) set(before, merges.find(symbols[before], symbols[left]));
    }
    for (std::size_t i = 0; i < n; i = next_[i]) take(symbols[i]);
  }

 private:
  static constexpr std::uint32_t kNone = ~0U;

  [[gnu::always_inline]] static void prefetch(const PairTable& merges, std::int32_t left,
                                              std::int32_t right) {
    const auto [bits, entry] = merges.places_of(left, right);
    __builtin_prefetch(bits);
    __builtin_prefetch(entry);
  }
  void set(std::size_t i, const Merge& merge) {
    merged_[i] = merge.id;
    keys_[i] = merge.rank == Merge::kNone
                   ? kNone
                   : merge.rank << kPlaceBits | static_cast<std::uint32_t>(i);
  }

  std::array<std::int32_t, kMost> merged_;  // what a symbol and the next merge into
  std::array<std::uint32_t, kMost> keys_;
  std::array<std::uint8_t, kMost + 1> next_;
  std::array<std::uint8_t, kMost + 1> previous_;
};

}  // namespace trireme
