// SPDX-License-Identifier: Apache-2.0
// PairTable: which two neighbours a byte-pair encoding merges, when, and into what.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "huge_pages.hpp"

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
    const std::uint64_t key = key_of(left, right);
    Entry& entry = entries_[slot_of(hash_of(key), key)];
    if (entry.key != kFree) return false;
    entry = {key, merge};
    set_bit(hash_of(key));
    largest_rank_ = std::max(largest_rank_, merge.rank);
    ++count_;
    return true;
  }
  /// Merge::kNone is the rank of a pair that never merges.
  [[nodiscard]] Merge find(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = key_of(left, right);
    const std::uint64_t hash = hash_of(key);
    const std::uint64_t bit = hash >> (shift_ - kMoreBits);
    if ((bits_[bit / 64] >> bit % 64 & 1U) == 0) return {};
    return entries_[slot_of(hash, key)].merge;
  }
  /// Where find() will read, for the caller to prefetch.
  [[nodiscard]] std::pair<const void*, const void*> places_of(std::int32_t left,
                                                              std::int32_t right) const {
    const std::uint64_t hash = hash_of(key_of(left, right));
    return {&bits_[(hash >> (shift_ - kMoreBits)) / 64], &entries_[hash >> shift_]};
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::uint32_t largest_rank() const { return largest_rank_; }

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
  static std::uint64_t hash_of(std::uint64_t key) {
    key ^= key >> 32U << 13U;
    return key * 0x9e3779b97f4a7c15U;
  }
  void set_bit(std::uint64_t hash) {
    const std::uint64_t bit = hash >> (shift_ - kMoreBits);
    bits_[bit / 64] |= std::uint64_t{1} << bit % 64;
  }
  [[nodiscard]] std::size_t slot_of(std::uint64_t hash, std::uint64_t key) const {
    std::size_t i = hash >> shift_;
    while (entries_[i].key != key && entries_[i].key != kFree) {
      i = (i + 1) & (entries_.size() - 1);
    }
    return i;
  }
  void reserve(std::size_t pairs) {
    unsigned bits = 4;
    while ((std::size_t{1} << bits) < 2 * pairs + 2) ++bits;
    if ((std::size_t{1} << bits) <= entries_.size()) return;
    std::vector<Entry, HugePages<Entry>> old(std::size_t{1} << bits);
    old.swap(entries_);
    shift_ = 64 - bits;
    bits_.assign((std::size_t{1} << (bits + kMoreBits)) / 64, 0);
    for (const Entry& entry : old) {
      if (entry.key == kFree) continue;
      entries_[slot_of(hash_of(entry.key), entry.key)] = entry;
      set_bit(hash_of(entry.key));
    }
  }

  static constexpr unsigned kMoreBits = 2;

  std::vector<Entry, HugePages<Entry>> entries_;
  /// Four bits for an entry. Most pairs never merge, and a bit that is clear says so.
  std::vector<std::uint64_t> bits_;
  unsigned shift_ = 60;
  std::size_t count_ = 0;
  std::uint32_t largest_rank_ = 0;
};

/// Merges the neighbour pair of lowest rank, the leftmost of equals, until none is left.
/// `symbols` are ids; those that remain are its new contents.
void merge_all(const PairTable& merges, std::vector<std::int32_t>& symbols);

}  // namespace trireme
