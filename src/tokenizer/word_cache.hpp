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
#include <vector>

namespace trireme {

class WordCache {
 public:
  static constexpr std::size_t kLongestWord = 128;  ///< bytes; longer words are not kept
  static constexpr std::size_t kInline = 3;         ///< ids that an entry itself holds

  /// A word's key: its bytes if these are at most 15, otherwise their hash.
  struct Key {
    std::uint64_t low;
    std::uint64_t high;
    bool operator==(const Key&) const = default;
  };
  struct Entry {
    Key key{0, 0};
    std::uint32_t count = 0;                  ///< of ids; 0 for a free entry
    std::array<std::int32_t, kInline> ids{};  ///< or, if they are more, [0]: where they are
  };

  WordCache() : entries_(kEntries) {}

  /// `text` is readable up to `limit`, which spares a copy of short words.
  [[nodiscard]] static Key key_of(std::string_view word, const char* limit) {
    const std::size_t n = word.size();
    if (n > kShort) return long_key_of(word);
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    if (limit - word.data() >= 16) {
      std::memcpy(&low, word.data(), 8);
      std::memcpy(&high, word.data() + 8, 8);
      if (n < 8) {
        low &= (std::uint64_t{1} << (8 * n)) - 1;
        high = 0;
      } else {
        high &= (std::uint64_t{1} << (8 * (n - 8))) - 1;
      }
    } else {
      std::memcpy(&low, word.data(), n < 8 ? n : 8);
      if (n > 8) std::memcpy(&high, word.data() + 8, n - 8);
    }
    return {low, high | static_cast<std::uint64_t>(n) << 56};
  }

  /// The entry of a word, or null. Ids beyond kInline are what long_ids() returns.
  [[nodiscard]] const Entry* find(const Key& key, std::string_view word) const {
    const std::size_t at = slot_of(key);
    for (std::size_t i = at; i < at + kWays; ++i) {
      const Entry& entry = entries_[i];
      if (entry.key == key && entry.count > 0 &&
          (word.size() <= kShort || is_word(entry, word))) {
        return &entry;
      }
    }
    return nullptr;
  }
  [[nodiscard]] std::span<const std::int32_t> ids_of(const Entry& entry,
                                                     std::size_t word_bytes) const {
    if (entry.count <= kInline && word_bytes <= kShort) return {entry.ids.data(), entry.count};
    const auto words = word_bytes <= kShort ? 0 : (word_bytes + 3) / 4;
    return {store_.data() + entry.ids[0] + words, entry.count};
  }
  /// Keeps the ids of a word, at least one, in place of an older word.
  void insert(const Key& key, std::string_view word, std::span<const std::int32_t> ids);

 private:
  static constexpr std::size_t kShort = 15;
  static constexpr std::size_t kWays = 2;
  static constexpr std::size_t kEntries = 1 << 16;
  static constexpr std::size_t kStore = 1 << 20;  ///< ids and quarters of words

  static Key long_key_of(std::string_view word);
  [[nodiscard]] static std::size_t slot_of(const Key& key) {
    std::uint64_t h = key.low * 0x9e3779b97f4a7c15U ^ std::rotl(key.high, 29);
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93U;
    return static_cast<std::size_t>(h >> (64 - 15)) * kWays;
  }
  static_assert(kEntries == (kWays << 15));
  [[nodiscard]] bool is_word(const Entry& entry, std::string_view word) const {
    return std::memcmp(store_.data() + entry.ids[0], word.data(), word.size()) == 0;
  }

  std::vector<Entry> entries_;
  std::vector<std::int32_t> store_;
};

}  // namespace trireme
