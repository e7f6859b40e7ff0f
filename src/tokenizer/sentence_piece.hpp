// SPDX-License-Identifier: Apache-2.0
// SentencePiece's .model files.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// Whether `bytes` begin as a SentencePiece model does.
[[nodiscard]] bool is_sentence_piece(std::string_view bytes);
/// A tokenizer of the kind "sentencepiece". Throws Error that begins with `where`.
[[nodiscard]] std::unique_ptr<Tokenizer> read_sentence_piece(std::string_view bytes,
                                                             const std::string& where);
/// The tokenizer whose definition() this is.
[[nodiscard]] std::unique_ptr<Tokenizer> make_sentence_piece(const std::string& definition);

}  // namespace trireme
