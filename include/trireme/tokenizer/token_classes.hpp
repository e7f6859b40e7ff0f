// SPDX-License-Identifier: Apache-2.0
// What kinds of tokens a vocabulary has, for tasks that hide tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// Kinds of a vocabulary's tokens.
struct TokenClasses {
  std::int32_t mask = -1;         ///< the token that hides others; −1: there is none
  std::vector<bool> special{};    ///< whether each id stands for no text
  std::vector<bool> continues{};  ///< whether each id continues a word
  bool knows_words = false;       ///< whether any token is known to continue a word
};

/// Reads the tokenizer's definition. Special are the end of documents, and what tokenizer.json
/// calls so. Tokens of WordPiece that begin with its continuing_subword_prefix continue words.
[[nodiscard]] TokenClasses token_classes(const Tokenizer& tokenizer);

}  // namespace trireme
