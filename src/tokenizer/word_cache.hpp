// SPDX-License-Identifier: Apache-2.0
// WordCache: the ids of words met before. Few words make most of any text, so most words cost
// one look here. One thread uses a cache at a time.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "huge_pages.hpp"

namespace trireme {

class WordCache {
 public:
  static constexpr std::size_t kShortWord = 15;     ///< bytes that a key holds
  static constexpr std::size_t kLongestWord = 128;  ///< bytes; longer words are not kept
  static constexpr std::size_t kMostIds = 3;        ///< in a short word's entry; more elsewhere

  /// The bytes of a short word, and their number.
  struct Key {
    std::uint64_t low;
    std::uint64_t high;
    bool operator==(const Key&) const = default;
  };
  struct Entry {
    Key key{0, 0};
    std::uint32_t count = 0;  ///< ids; 0 if find_long() has them, or for a free entry
    std::array<std::int32_t, kMostIds> ids{};
  };

  WordCache() : lines_(std::size_t{1} << kFewestBits), long_entries_(kLongEntries) {}

  /// The key of a short word. `text` is readable up to `limit`, which spares a copy.
  [[nodiscard]] static Key key_of(std::string_view word, const char* limit) {
    const std::size_t n = word.size();
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    if (limit - word.data() >= 16) {
      std::memcpy(&low, word.data(), 8);
      std::memcpy(&high, word.data() + 8, 8);
      low &= kMasks[n < 8 ? n : 8];
      high &= kMasks[n < 8 ? 0 : n - 8];
    } else {
      std::memcpy(&low, word.data(), n < 8 ? n : 8);
      if (n > 8) std::memcpy(&high, word.data() + 8, n - 8);
    }
    return {low, high | static_cast<std::uint64_t>(n) << 56};
  }
  /// Grows if many words are new. Slots that were computed before are others then.
  void make_room() {
    if (inserted_ > lines_.size() / 2 && shift_ > 64 - kMostBits) grow();
  }
  /// Where a short word's entry would be. Costs no memory access.
  [[nodiscard]] std::size_t slot_of(const Key& key) const {
    std::uint64_t h = key.low * 0x9e3779b97f4a7c15U ^ std::rotl(key.high, 29);
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93U;
    return static_cast<std::size_t>(h >> shift_);
  }
  /// Asks for the memory of a slot, before find() needs it.
  void prefetch(std::size_t slot) const { __builtin_prefetch(&lines_[slot]); }
  /// The entry of a short word, or null. A word that is found again outlasts new words.
  [[nodiscard]] const Entry* find(const Key& key, std::size_t slot) {
    Line& line = lines_[slot];
    if (line[0].key == key) return &line[0];
    if (!(line[1].key == key)) return nullptr;
    std::swap(line[0], line[1]);
    return &line[0];
  }
  /// The ids of a long word, or of a short one whose entry counts none; none if not kept.
  [[nodiscard]] std::span<const std::int32_t> find_long(std::string_view word) const;
  /// Keeps the ids of a word in place of an older word.
  void insert(std::string_view word, std::span<const std::int32_t> ids);

 private:
  struct LongEntry {
    std::uint64_t hash = 0;
    std::uint32_t at = 0;     ///< in store_: the word's bytes, then its ids
    std::uint16_t bytes = 0;  ///< 0 for a free entry
    std::uint16_t count = 0;
  };
  /// One line of the processor's cache.
  struct alignas(64) Line : std::array<Entry, 2> {};
  // Texts of few words stay within few pages of memory. 32 MiB hold a million words.
  static constexpr unsigned kFewestBits = 11;
  static constexpr unsigned kMoreBits = 2;  ///< when it grows
  static constexpr unsigned kMostBits = 19;
  static constexpr unsigned kLongBits = 16;
  static constexpr std::size_t kLongEntries = std::size_t{1} << kLongBits;
  static constexpr std::size_t kStore = 1 << 20;  ///< ids, and words in fours of bytes
  static constexpr std::array<std::uint64_t, 9> kMasks = {0,
                                                          0xff,
                                                          0xffff,
                                                          0xffffff,
                                                          0xffffffff,
                                                          0xffffffffff,
                                                          0xffffffffffff,
                                                          0xffffffffffffff,
                                                          ~std::uint64_t{0}};

  void grow();
  Entry& place_for(const Key& key);
  static std::uint64_t hash_of(std::string_view word);
  static std::size_t fours(std::size_t bytes) { return (bytes + 3) / 4; }

  std::vector<Line, HugePages<Line>> lines_;
  unsigned shift_ = 64 - kFewestBits;
  std::size_t inserted_ = 0;  ///< short words so far
  std::vector<LongEntry> long_entries_;
  std::vector<std::int32_t> store_;
};

}  // namespace trireme
