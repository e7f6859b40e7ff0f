// SPDX-License-Identifier: Apache-2.0
// Byte-pair merging: by search for the lowest rank in short words, by a heap in long ones.
#include "pair_table.hpp"

#include <algorithm>
#include <queue>

#include "short_merge.hpp"

namespace trireme {

namespace {

/// O(n²) with small constants: words have a few symbols.
void merge_short(const PairTable& merges, std::vector<std::int32_t>& symbols) {
  ShortMerge short_merge;
  std::copy(symbols.begin(), symbols.end(), short_merge.symbols.begin());
  const std::size_t n = symbols.size();
  const std::vector<std::int32_t>& given = symbols;
  std::size_t left = 0;
  short_merge.run(
      merges, n, [&](std::size_t i) { return merges.find(given[i], given[i + 1]); },
      [&](std::int32_t id) { symbols[left++] = id; });
  symbols.resize(left);
}

/// O(n log n): symbols are a linked list, and a heap holds the pairs.
class LongMerge {
 public:
  LongMerge(const PairTable& merges, std::vector<std::int32_t>& symbols)
      : merges_(merges), ids_(symbols), next_(symbols.size()), previous_(symbols.size()) {
    for (std::uint32_t i = 0; i < ids_.size(); ++i) {
      next_[i] = i + 1;
      previous_[i] = i - 1;  // the first symbol has kNone
    }
    for (std::uint32_t i = 0; i + 1 < ids_.size(); ++i) push(i);
  }

  void run() {
    while (!heap_.empty()) {
      const Pair top = heap_.top();
      heap_.pop();
      if (ids_[top.left] < 0 || next_[top.left] >= ids_.size()) continue;
      const std::uint32_t right = next_[top.left];
      // The heap keeps pairs whose symbols have changed since.
      const Merge merge = merges_.find(ids_[top.left], ids_[right]);
      if (merge.rank != top.rank) continue;
      ids_[top.left] = merge.id;
      ids_[right] = kGone;
      next_[top.left] = next_[right];
      if (next_[right] < ids_.size()) previous_[next_[right]] = top.left;
      if (previous_[top.left] != kNone) push(previous_[top.left]);
      if (next_[top.left] < ids_.size()) push(top.left);
    }
    std::erase(ids_, kGone);
  }

 private:
  static constexpr std::uint32_t kNone = ~0U;
  static constexpr std::int32_t kGone = -1;
  struct Pair {
    std::uint32_t rank;
    std::uint32_t left;
    bool operator<(const Pair& other) const {  // the heap's top is its largest
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };

  void push(std::uint32_t left) {
    const Merge merge = merges_.find(ids_[left], ids_[next_[left]]);
    if (merge.rank != Merge::kNone) heap_.push({merge.rank, left});
  }

  const PairTable& merges_;
  std::vector<std::int32_t>& ids_;
  std::vector<std::uint32_t> next_;
  std::vector<std::uint32_t> previous_;
  std::priority_queue<Pair> heap_;
};

}  // namespace

void merge_all(const PairTable& merges, std::vector<std::int32_t>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= ShortMerge::kMost && merges.largest_rank() < ShortMerge::kRanks) {
    merge_short(merges, symbols);
  } else {
    LongMerge(merges, symbols).run();
  }
}

}  // namespace trireme
