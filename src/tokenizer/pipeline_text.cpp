// SPDX-License-Identifier: Apache-2.0
// Pipeline: decoding, and where text can be split.
#include <algorithm>

#include "trireme/core/error.hpp"

#include "pipeline.hpp"
#include "unicode.hpp"
#include "utf8.hpp"

namespace trireme {

Surroundings Pipeline::surroundings() const {
  Surroundings ids;
  if (parts_.post_processor != nullptr) parts_.post_processor->surround(ids);
  return ids;
}

std::optional<std::int32_t> Pipeline::id_of(std::string_view token) const {
  for (const AddedToken& added : parts_.added) {
    if (added.content == token) return added.id;
  }
  return parts_.model->id_of(token);
}

bool Pipeline::strips_between(char32_t before, char32_t after) const {
  return (has_lstrip_ && is_white_space(before)) || (has_rstrip_ && is_white_space(after));
}

bool Pipeline::separates(char32_t before, char32_t after) const {
  if (parts_.normalizer != nullptr) {
    // What follows sees normalised text.
    const auto left = parts_.normalizer->form_of(before);
    const auto right = parts_.normalizer->form_of(after);
    if (!left || !right || !parts_.normalizer->separates(before, after)) return false;
    if (strips_between(before, after)) return false;
    before = *left;
    after = *right;
  }
  if (strips_between(before, after)) return false;
  if (parts_.scanner != nullptr) return parts_.scanner->separates(before, after);
  if (parts_.pre_tokenizer != nullptr && parts_.pre_tokenizer->separates(before, after)) {
    return true;
  }
  return parts_.pre_tokenizer == nullptr && parts_.model->separates(before, after);
}

std::size_t Pipeline::split_point(std::string_view text) const {
  if (!splits_ || text.empty()) return 0;
  for (std::size_t at = text.size() - 1; at > 0; --at) {
    const auto left = static_cast<unsigned char>(text[at - 1]);
    const auto right = static_cast<unsigned char>(text[at]);
    if (left < 0x80 && right < 0x80) {
      if (ascii_separates_[left * 128U + right]) return at;
      continue;
    }
    if (valid_utf8_at(text, at) == 0) continue;
    std::size_t first = at - 1;
    while (first > 0 && at - first < 4 &&
           (static_cast<unsigned char>(text[first]) & 0xc0U) == 0x80U) {
      --first;
    }
    if (valid_utf8_at(text, first) != at - first) continue;
    if (separates(code_point_at(text, first).value, code_point_at(text, at).value)) return at;
  }
  return 0;
}

std::string Pipeline::decode(std::span<const std::int32_t> ids) const {
  std::vector<std::string> tokens;
  for (const std::int32_t id : ids) {
    TRM_REQUIRE(id >= 0 && id < vocab_size_, "token id {} is not in a vocabulary of {}", id,
                vocab_size_);
    const AddedToken* const added = added_by_id_[static_cast<std::size_t>(id)];
    if (added != nullptr && added->special) continue;
    if (added != nullptr) {
      tokens.push_back(added->content);
    } else if (id < parts_.model->size()) {
      tokens.push_back(parts_.model->token_of(id));
    }
  }
  if (parts_.decoder != nullptr) parts_.decoder->apply(tokens);
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    // Without a decoder, Hugging Face puts a space between tokens.
    if (i > 0 && parts_.decoder == nullptr && !parts_.model_takes_bytes) text += ' ';
    text += tokens[i];
  }
  return text;
}

}  // namespace trireme
