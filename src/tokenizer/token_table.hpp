// SPDX-License-Identifier: Apache-2.0
// TokenTable: the tokens of a tokenizer.json's "vocab" object, by id.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "trie.hpp"

namespace trireme {

class TokenTable {
 public:
  TokenTable() = default;
  /// `tokens` maps each token to its id. Throws Error that begins with `where` if an id is no
  /// whole number, too large for so few tokens, or taken twice.
  TokenTable(const nlohmann::json& tokens, const std::string& where);

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }
  /// The token of an id from 0 to size() − 1; "" for an id without a token.
  [[nodiscard]] const std::string& token_of(std::int32_t id) const;
  [[nodiscard]] std::int32_t id_of(std::string_view token) const {
    return trie_.value_of(token);
  }
  [[nodiscard]] const Trie& trie() const { return trie_; }

 private:
  std::vector<std::string> tokens_;
  Trie trie_;
};

/// The code points of valid UTF-8.
[[nodiscard]] std::int64_t count_code_points(std::string_view text);

}  // namespace trireme
