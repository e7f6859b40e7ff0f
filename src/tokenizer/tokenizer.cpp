// SPDX-License-Identifier: Apache-2.0
// The tokenizers of single bytes, and the choice of a tokenizer by its kind.
#include "trireme/tokenizer/tokenizer.hpp"

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

#include "fields.hpp"
#include "hugging_face.hpp"
#include "ranks.hpp"
#include "sentence_piece.hpp"

namespace trireme {

std::string Tokenizer::decode_known(std::span<const std::int32_t> ids) const {
  std::string text;
  const auto decodes = [&](std::span<const std::int32_t> some) {
    return !failure_of([&] { text = decode(some); });
  };
  if (decodes(ids)) return text;
  std::vector<std::int32_t> known;
  for (const std::int32_t& id : ids) {
    if (decodes({&id, 1})) known.push_back(id);
  }
  return decode(known);
}

void ByteTokenizer::encode_part(std::string_view text, TextPart /*part*/,
                                std::vector<std::int32_t>& to) const {
  const std::size_t n = to.size();
  to.resize(n + text.size());
  for (std::size_t i = 0; i < text.size(); ++i) to[n + i] = static_cast<unsigned char>(text[i]);
}

std::optional<std::int32_t> ByteTokenizer::id_of(std::string_view token) const {
  if (token.size() != 1) return std::nullopt;
  return static_cast<unsigned char>(token.front());
}

std::string ByteTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  text.reserve(ids.size());
  for (const std::int32_t id : ids) {
    TRM_REQUIRE(id >= 0 && id < vocab_size(), "token id {} is not in a vocabulary of {}", id,
                vocab_size());
    if (id != end_of_document()) text += static_cast<char>(id);
  }
  return text;
}

std::string CharacterTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    TRM_REQUIRE(id >= 0 && id < 256, "token id {} stands for no character", id);
    if (id != end_of_document()) text += static_cast<char>(id);
  }
  return text;
}

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& kind,
                                          const std::string& definition) {
  const bool is_plain = kind == "bytes" || kind == "characters";
  TRM_REQUIRE(!is_plain || definition.empty(), "the tokenizer \"{}\" takes no definition",
              kind);
  if (kind == "bytes") return std::make_unique<ByteTokenizer>();
  if (kind == "characters") return std::make_unique<CharacterTokenizer>();
  if (kind == "ranks") return make_ranked(definition);
  if (kind == "sentencepiece") return make_sentence_piece(definition);
  TRM_REQUIRE(kind == "hugging-face",
              "the tokenizer \"{}\" is not known; these kinds are: bytes, characters, "
              "hugging-face, ranks, sentencepiece",
              printable(kind));
  const std::string where = "the tokenizer's definition";
  nlohmann::json spec = parse_json(definition, where);
  require_fields(spec, {"tokenizer", "end_of_document"}, where);
  const std::string end = optional_text(spec, "end_of_document", where);
  return make_hugging_face(std::move(spec["tokenizer"]), end, where);
}

}  // namespace trireme
