// SPDX-License-Identifier: Apache-2.0
// The tokenizer that a deck names by tokenizer_type, vocab_file, merge_file and
// tokenizer_encoding.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "trireme/deck/deck.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// A value of tokenizer_type.
struct TokenizerTypeRow {
  DeckSettings::TokenizerType type;
  std::string_view name;   ///< GPT-NeoX's
  std::string_view kind;   ///< the Tokenizer::kind() that it asks for; "": any
  std::string_view files;  ///< what vocab_file must hold; "": no file is read
};
[[nodiscard]] std::span<const TokenizerTypeRow> tokenizer_types();

/// "vocab_file: data/vocab.json", as the deck names its tokenizer; "" if the deck names none.
[[nodiscard]] std::string tokenizer_named_by(const Deck& deck);

/// The deck's tokenizer; null if the deck names none. Throws Error if the file is missing, or
/// is none of that type.
[[nodiscard]] std::unique_ptr<Tokenizer> open_deck_tokenizer(const Deck& deck);

/// Fills in a vocab_size that the deck leaves out from its tokenizer, if the deck names one.
/// Throws Error that names the key.
void take_vocabulary(Deck& deck);

}  // namespace trireme
