// SPDX-License-Identifier: Apache-2.0
// PairTable: which two neighbours a byte-pair encoding merges, when, and into what.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace trireme {

struct Merge {
  static constexpr std::uint32_t kNone = ~0U;
  std::uint32_t rank = kNone;  ///< lower merges first
  std::int32_t id = -1;        ///< the merged token's
};

/// A hash table with open addressing, at most half full.
class PairTable {
 public:
  explicit PairTable(std::size_t pairs = 0) { reserve(pairs); }
  /// Returns false if the pair has a merge already.
  bool add(std::int32_t left, std::int32_t right, Merge merge) {
    if (2 * (count_ + 1) > entries_.size()) reserve(2 * count_ + 8);
    Entry& entry = entries_[slot_of(key_of(left, right))];
    if (entry.key != kFree) return false;
    entry = {key_of(left, right), merge};
    ++count_;
    return true;
  }
  /// Merge::kNone is the rank of a pair that never merges.
  [[nodiscard]] Merge find(std::int32_t left, std::int32_t right) const {
    return entries_[slot_of(key_of(left, right))].merge;
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  struct Entry {
    std::uint64_t key = kFree;
    Merge merge;
  };
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};

  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
           static_cast<std::uint32_t>(right);
  }
  [[nodiscard]] std::size_t slot_of(std::uint64_t key) const {
    std::size_t i = (key * 0x9e3779b97f4a7c15U) >> shift_;
    while (entries_[i].key != key && entries_[i].key != kFree) {
      i = (i + 1) & (entries_.size() - 1);
    }
    return i;
  }
  void reserve(std::size_t pairs) {
    unsigned bits = 4;
    while ((std::size_t{1} << bits) < 2 * pairs + 2) ++bits;
    if ((std::size_t{1} << bits) <= entries_.size()) return;
    std::vector<Entry> old(std::size_t{1} << bits);
    old.swap(entries_);
    shift_ = 64 - bits;
    for (const Entry& entry : old) {
      if (entry.key != kFree) entries_[slot_of(entry.key)] = entry;
    }
  }

  std::vector<Entry> entries_;
  unsigned shift_ = 60;
  std::size_t count_ = 0;
};

/// Merges the neighbour pair of lowest rank, the leftmost of equals, until none is left.
/// `symbols` are ids; those that remain are its new contents.
void merge_all(const PairTable& merges, std::vector<std::int32_t>& symbols);

}  // namespace trireme
