// SPDX-License-Identifier: Apache-2.0
// Parts of a pipeline that cannot be read yet: each is an error that names it.
#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

#include "decoder.hpp"
#include "model.hpp"
#include "normalizer.hpp"
#include "post_processor.hpp"
#include "pre_tokenizer.hpp"
#include "sentence_piece.hpp"

namespace trireme {

namespace {

[[noreturn]] void refuse(const nlohmann::json& spec, const std::string& where) {
  throw Error(fmt::format(
      "{}: the type {} is not supported", where,
      spec.is_object() && spec.contains("type") ? spec["type"].dump() : spec.dump()));
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const nlohmann::json& spec,
                                            const std::string& where) {
  if (spec.is_null()) return nullptr;
  refuse(spec, where);
}

std::unique_ptr<PreTokenizer> make_plain_pre_tokenizer(const nlohmann::json& spec,
                                                       const std::string& where) {
  refuse(spec, where);
}

std::unique_ptr<Model> make_word_piece(const nlohmann::json& spec, const std::string& where) {
  refuse(spec, where);
}

std::unique_ptr<Model> make_unigram(const nlohmann::json& spec, const std::string& where) {
  refuse(spec, where);
}

std::unique_ptr<Model> make_word_level(const nlohmann::json& spec, const std::string& where) {
  refuse(spec, where);
}

std::unique_ptr<PostProcessor> make_post_processor(const nlohmann::json& spec,
                                                   const std::string& where) {
  if (spec.is_null()) return nullptr;
  refuse(spec, where);
}

std::unique_ptr<Decoder> make_decoder(const nlohmann::json& spec, const std::string& where) {
  if (spec.is_null()) return nullptr;
  refuse(spec, where);
}

bool is_sentence_piece(std::string_view bytes) {
  (void)bytes;
  return false;
}

std::unique_ptr<Tokenizer> read_sentence_piece(std::string_view bytes,
                                               const std::string& where) {
  (void)bytes;
  throw Error(where + ": SentencePiece models are not supported");
}

std::unique_ptr<Tokenizer> make_sentence_piece(const std::string& definition) {
  return read_sentence_piece(definition, "the tokenizer's definition");
}

}  // namespace trireme
