// SPDX-License-Identifier: Apache-2.0
// Chooses the tokens that a masked language model must find, and what stands in their place.
#include "trireme/data/token_masking.hpp"

#include "trireme/core/error.hpp"
#include "trireme/core/random.hpp"

namespace trireme {

TokenMasking::TokenMasking(const MaskingRule& rule, std::int64_t vocab_size,
                           const Tokenizer* tokenizer, std::uint64_t seed)
    : rule_(rule), seed_(seed) {
  if (tokenizer != nullptr) classes_ = token_classes(*tokenizer);
  classes_.special.resize(static_cast<std::size_t>(vocab_size));
  classes_.continues.resize(static_cast<std::size_t>(vocab_size));
  if (rule_.mask_token < 0) rule_.mask_token = classes_.mask;
  TRM_REQUIRE(
      rule_.mask_token >= 0 && rule_.mask_token < vocab_size,
      "masked_language_model needs a token that hides others: {}; prepare the data with "
      "a tokenizer that has [MASK] or <mask>, or set mask_token_id",
      rule_.mask_token < 0
          ? std::string("the data's tokenizer has none")
          : fmt::format("{} is not in the vocabulary of {}", rule_.mask_token, vocab_size));
  TRM_REQUIRE(!rule_.whole_words || classes_.knows_words,
              "whole_word_mask needs a tokenizer whose tokens say that they continue a word, "
              "such as WordPiece's ##: the data's tokenizer has none");
  classes_.special[static_cast<std::size_t>(rule_.mask_token)] = true;
  for (std::int32_t id = 0; id < vocab_size; ++id) {
    if (!classes_.special[static_cast<std::size_t>(id)]) ordinary_.push_back(id);
  }
  TRM_REQUIRE(!ordinary_.empty(), "all {} tokens of the vocabulary are special", vocab_size);
}

std::int32_t TokenMasking::hidden(std::int32_t id, std::uint32_t choice,
                                  std::uint32_t other) const {
  const double u = unit_interval(choice);
  if (u < 0.8) return rule_.mask_token;
  if (u >= 0.9) return id;
  return ordinary_[static_cast<std::size_t>((std::uint64_t{other} * ordinary_.size()) >> 32U)];
}

void TokenMasking::apply(std::uint64_t k, std::span<std::int32_t> tokens,
                         std::span<std::int32_t> targets) const {
  const RngKey key{seed_, stream_of("masked tokens")};
  bool chosen = false;   // the word of the token before
  bool in_word = false;  // whether a word may go on
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::int32_t token = tokens[i];
    targets[i] = token < 0 ? token : ~token;
    const auto id = static_cast<std::size_t>(token);
    if (token < 0 || classes_.special[id]) {
      in_word = false;
      continue;
    }
    const auto words = philox(key, k, static_cast<std::uint32_t>(i));
    if (!rule_.whole_words || !in_word || !classes_.continues[id]) {
      chosen = unit_interval(words[0]) < rule_.probability;
    }
    in_word = true;
    if (!chosen) continue;
    targets[i] = token;
    tokens[i] = hidden(token, words[1], words[2]);
  }
}

}  // namespace trireme
