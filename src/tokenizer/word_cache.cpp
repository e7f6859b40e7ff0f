// SPDX-License-Identifier: Apache-2.0
// WordCache: the ids of words met before.
#include "word_cache.hpp"

#include <algorithm>

namespace trireme {

std::uint64_t WordCache::hash_of(std::string_view word) {
  std::uint64_t h = word.size();
  for (std::size_t at = 0; at < word.size(); at += 8) {
    std::uint64_t part = 0;
    std::memcpy(&part, word.data() + at, std::min<std::size_t>(8, word.size() - at));
    h = (std::rotl(h, 23) ^ part) * 0x9e3779b97f4a7c15U;
  }
  return h ^ h >> 29;
}

std::span<const std::int32_t> WordCache::find_long(std::string_view word) const {
  const std::uint64_t hash = hash_of(word);
  const LongEntry& entry = long_entries_[hash >> (64 - kLongBits)];
  if (entry.hash != hash || entry.bytes != word.size()) return {};
  const std::int32_t* const at = store_.data() + entry.at;
  if (std::memcmp(at, word.data(), word.size()) != 0) return {};
  return {at + fours(word.size()), entry.count};
}

/// The newer word of a line gives way.
WordCache::Entry& WordCache::place_for(const Key& key) {
  Line& line = lines_[slot_of(key)];
  return line[0].key == Key{0, 0} || line[0].key == key ? line[0] : line[1];
}

void WordCache::grow() {
  std::vector<Line, HugePages<Line>> old(lines_.size() << kMoreBits);
  old.swap(lines_);
  shift_ -= kMoreBits;
  for (const Line& line : old) {
    for (const Entry& entry : line) {
      if (!(entry.key == Key{0, 0})) place_for(entry.key) = entry;
    }
  }
}

void WordCache::insert(std::string_view word, std::span<const std::int32_t> ids) {
  if (ids.empty() || word.size() > kLongestWord) return;
  if (word.size() <= kShortWord) {
    const Key key = key_of(word, word.data() + word.size());
    Entry& entry = place_for(key);
    entry = {.key = key};
    ++inserted_;
    if (ids.size() <= kMostIds) {
      entry.count = static_cast<std::uint32_t>(ids.size());
      std::copy(ids.begin(), ids.end(), entry.ids.begin());
      return;
    }
  }
  const std::size_t words = fours(word.size());
  if (store_.size() + words + ids.size() > kStore) {
    store_.clear();
    std::fill(long_entries_.begin(), long_entries_.end(), LongEntry{});
  }
  const std::uint64_t hash = hash_of(word);
  long_entries_[hash >> (64 - kLongBits)] = {.hash = hash,
                                             .at = static_cast<std::uint32_t>(store_.size()),
                                             .bytes = static_cast<std::uint16_t>(word.size()),
                                             .count = static_cast<std::uint16_t>(ids.size())};
  store_.resize(store_.size() + words);
  std::memcpy(&store_[store_.size() - words], word.data(), word.size());
  store_.insert(store_.end(), ids.begin(), ids.end());
}

}  // namespace trireme
