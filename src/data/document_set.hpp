// SPDX-License-Identifier: Apache-2.0
// Hashes of documents, 128 bits of XXH3 over their tokens, and a set of these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace trireme {

struct TokenHash {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const TokenHash&) const = default;
};

[[nodiscard]] TokenHash hash_of(std::span<const std::int32_t> tokens);

/// The hash of tokens that come in parts.
class TokenHasher {
 public:
  TokenHasher();
  ~TokenHasher();
  TokenHasher(const TokenHasher&) = delete;
  TokenHasher& operator=(const TokenHasher&) = delete;

  void reset();
  void add(std::span<const std::int32_t> tokens);
  [[nodiscard]] TokenHash finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A table with open addressing: 21 to 43 bytes for each hash, and half as much again while the
/// table grows.
class DocumentSet {
 public:
  /// Returns whether the hash is new.
  bool add(TokenHash hash);

 private:
  [[nodiscard]] static TokenHash& slot_of(std::vector<TokenHash>& slots, TokenHash hash);

  std::vector<TokenHash> slots_;  ///< a power of two; {0, 0} is free
  std::size_t used_ = 0;
};

}  // namespace trireme
