// SPDX-License-Identifier: Apache-2.0
// Tokenizers whose tokens are bytes that merge in the order of their ids: tiktoken's and
// Mistral's files.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// What such a file and its name say.
struct RankedTokens {
  std::string pattern{};
  std::vector<std::pair<std::string, std::int32_t>> tokens{};   ///< bytes and rank, by rank
  std::vector<std::pair<std::string, std::int32_t>> special{};  ///< names and ids
  std::string end{};           ///< the special token that ends a document
  std::int32_t first_id = 0;   ///< the id of rank 0
  bool allow_special = false;  ///< text that spells a special token is this token
};

/// Whether a text has the lines of a .tiktoken file: base64 and a number.
[[nodiscard]] bool is_tiktoken(std::string_view text);
/// Reads a .tiktoken file. `encoding` names its pattern and special tokens; "" finds a file
/// that OpenAI or Qwen published. `end` is the special token that ends a document; "" chooses
/// the encoding's. Throws Error that begins with `where`.
[[nodiscard]] std::unique_ptr<Tokenizer> read_tiktoken(std::string_view text,
                                                       const std::string& encoding,
                                                       const std::string& end,
                                                       const std::string& where,
                                                       bool allow_special = false);
/// Reads Mistral's tekken.json.
[[nodiscard]] std::unique_ptr<Tokenizer> read_tekken(const nlohmann::json& spec,
                                                     const std::string& end,
                                                     const std::string& where,
                                                     bool allow_special = false);
/// The tokenizer of the kind "ranks" whose definition() this is.
[[nodiscard]] std::unique_ptr<Tokenizer> make_ranked(const std::string& definition);

/// A tokenizer of the kind "ranks".
[[nodiscard]] std::unique_ptr<Tokenizer> make_ranked(RankedTokens&& tokens,
                                                     const std::string& where);

}  // namespace trireme
