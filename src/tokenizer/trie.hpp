// SPDX-License-Identifier: Apache-2.0
// Trie: which tokens begin a text, found byte by byte. The nodes stand in a double array.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace trireme {

class Trie {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;
  static constexpr std::uint32_t kRoot = 0;

  Trie() : Trie(std::vector<std::pair<std::string_view, std::int32_t>>{}) {}
  /// Keys with their values, which are at least 0. Keys are not empty, and differ.
  explicit Trie(std::vector<std::pair<std::string_view, std::int32_t>> keys);

  /// The node that `byte` leads to from `node`, or kNone.
  [[nodiscard]] std::uint32_t next(std::uint32_t node, char byte) const {
    const std::uint32_t to = nodes_[node].base ^ static_cast<unsigned char>(byte);
    return to < nodes_.size() && nodes_[to].parent == node ? to : kNone;
  }
  /// The value of the key that ends at `node`, or −1.
  [[nodiscard]] std::int32_t value(std::uint32_t node) const { return nodes_[node].value; }
  /// The node where `key` ends, or kNone.
  [[nodiscard]] std::uint32_t find(std::string_view key) const;
  /// The value of `key`, or −1.
  [[nodiscard]] std::int32_t value_of(std::string_view key) const {
    const std::uint32_t node = find(key);
    return node == kNone ? -1 : value(node);
  }
  [[nodiscard]] bool empty() const { return nodes_[kRoot].base == 0; }
  /// The size of the longest key that begins `text`; 0 if none does.
  [[nodiscard]] std::size_t longest(std::string_view text) const;

 private:
  struct Node {
    std::uint32_t base = 0;        // XOR a byte: the child's place
    std::uint32_t parent = kNone;  // kNone: a free place
    std::int32_t value = -1;
  };
  [[nodiscard]] std::uint32_t place(std::string_view bytes);

  std::vector<Node> nodes_;
  std::uint32_t free_ = 0;  // no place before this one is free
};

}  // namespace trireme
