// SPDX-License-Identifier: Apache-2.0
// Trie: which tokens begin a text, found byte by byte.
#include "trie.hpp"

#include <algorithm>
#include <string>

namespace trireme {

namespace {

constexpr std::uint32_t kBlock = 256;  // the places that one base reaches
constexpr std::uint32_t kSearched = 16 * kBlock;
constexpr std::uint32_t kNobody = Trie::kNone - 1;  // the root's parent

}  // namespace

Trie::Trie(std::vector<std::pair<std::string_view, std::int32_t>> keys) : nodes_(kBlock) {
  std::sort(keys.begin(), keys.end());
  nodes_[kRoot].parent = kNobody;
  struct Open {
    std::size_t begin, end;  // the keys below this node
    std::uint32_t node;
    std::size_t depth;
  };
  std::vector<Open> open{{0, keys.size(), kRoot, 0}};
  std::string bytes;
  for (std::size_t next = 0; next < open.size(); ++next) {
    auto [begin, end, node, depth] = open[next];
    if (begin < end && keys[begin].first.size() == depth) {
      nodes_[node].value = keys[begin++].second;
    }
    bytes.clear();
    for (std::size_t i = begin; i < end; ++i) {
      if (bytes.empty() || bytes.back() != keys[i].first[depth]) bytes += keys[i].first[depth];
    }
    if (bytes.empty()) continue;
    const std::uint32_t base = place(bytes);
    nodes_[node].base = base;
    std::size_t first = begin;
    for (const char byte : bytes) {
      std::size_t last = first;
      while (last < end && keys[last].first[depth] == byte) ++last;
      const std::uint32_t child = base ^ static_cast<unsigned char>(byte);
      nodes_[child].parent = node;
      open.push_back({first, last, child, depth + 1});
      first = last;
    }
  }
}

// A base from which all of `bytes` lead to free places.
std::uint32_t Trie::place(std::string_view bytes) {
  while (free_ < nodes_.size() && nodes_[free_].parent != kNone) ++free_;
  const auto size = static_cast<std::uint32_t>(nodes_.size());
  const auto first = static_cast<unsigned char>(bytes.front());
  // An old block that stayed half empty rarely has room for more.
  for (std::uint32_t at = std::max(free_, size > kSearched ? size - kSearched : 1U); at < size;
       ++at) {
    if (nodes_[at].parent != kNone) continue;
    const std::uint32_t base = at ^ first;
    const bool fits = std::all_of(bytes.begin(), bytes.end(), [&](char byte) {
      return nodes_[base ^ static_cast<unsigned char>(byte)].parent == kNone;
    });
    if (fits) return base;
  }
  nodes_.resize(nodes_.size() + kBlock);
  return size;
}

std::uint32_t Trie::find(std::string_view key) const {
  std::uint32_t node = kRoot;
  for (const char byte : key) {
    node = next(node, byte);
    if (node == kNone) return kNone;
  }
  return node;
}

std::size_t Trie::longest(std::string_view text) const {
  std::size_t length = 0;
  std::uint32_t node = kRoot;
  for (std::size_t i = 0; i < text.size(); ++i) {
    node = next(node, text[i]);
    if (node == kNone) break;
    if (value(node) >= 0) length = i + 1;
  }
  return length;
}

}  // namespace trireme
