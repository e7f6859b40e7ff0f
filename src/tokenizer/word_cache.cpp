// SPDX-License-Identifier: Apache-2.0
// WordCache: the ids of words met before.
#include "word_cache.hpp"

#include <algorithm>

namespace trireme {

WordCache::Key WordCache::long_key_of(std::string_view word) {
  std::uint64_t h = word.size();
  for (std::size_t at = 0; at < word.size(); at += 8) {
    std::uint64_t part = 0;
    std::memcpy(&part, word.data() + at, std::min<std::size_t>(8, word.size() - at));
    h = (std::rotl(h, 23) ^ part) * 0x9e3779b97f4a7c15U;
  }
  // The length tells long words from short ones.
  return {h, static_cast<std::uint64_t>(word.size()) << 56};
}

void WordCache::insert(const Key& key, std::string_view word,
                       std::span<const std::int32_t> ids) {
  if (ids.empty() || word.size() > kLongestWord) return;
  Entry entry{.key = key, .count = static_cast<std::uint32_t>(ids.size())};
  const bool is_long = word.size() > kShort;
  if (!is_long && ids.size() <= kInline) {
    std::copy(ids.begin(), ids.end(), entry.ids.begin());
  } else {
    const std::size_t words = is_long ? (word.size() + 3) / 4 : 0;
    if (store_.size() + words + ids.size() > kStore) {
      store_.clear();
      std::fill(entries_.begin(), entries_.end(), Entry{});
    }
    entry.ids[0] = static_cast<std::int32_t>(store_.size());
    store_.resize(store_.size() + words);
    if (is_long) std::memcpy(store_.data() + entry.ids[0], word.data(), word.size());
    store_.insert(store_.end(), ids.begin(), ids.end());
  }
  Entry* const first = &entries_[slot_of(key)];
  std::move_backward(first, first + kWays - 1, first + kWays);
  *first = entry;
}

}  // namespace trireme
