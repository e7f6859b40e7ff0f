// SPDX-License-Identifier: Apache-2.0
// Hugging Face's tokenizer.json.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// A tokenizer of the kind "hugging-face". `end` is the token that ends a document; "" chooses
/// a usual one. Throws Error that begins with `where` and names what is not supported.
[[nodiscard]] std::unique_ptr<Tokenizer> make_hugging_face(nlohmann::json spec,
                                                           const std::string& end,
                                                           const std::string& where);

/// The byte-pair model of GPT-2's vocab.json and merges.txt, as a tokenizer.json.
[[nodiscard]] nlohmann::json gpt2_spec(nlohmann::json vocabulary, const std::string& merges,
                                       const std::string& where);

}  // namespace trireme
