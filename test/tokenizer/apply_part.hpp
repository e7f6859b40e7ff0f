// SPDX-License-Identifier: Apache-2.0
// One part of a tokenizer as a function from text to text, for the tests and tokenizer_probe.
// Lists are JSON.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "../../src/tokenizer/decoder.hpp"
#include "../../src/tokenizer/hugging_face.hpp"
#include "../../src/tokenizer/model.hpp"
#include "../../src/tokenizer/normalizer.hpp"
#include "../../src/tokenizer/pre_tokenizer.hpp"
#include "../../src/tokenizer/sentence_piece.hpp"

namespace trireme::test {

using nlohmann::json;

using Apply = std::function<std::string(std::string)>;

inline std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

inline Apply normalizer(const std::string& file) {
  std::shared_ptr<Normalizer> part = make_normalizer(json::parse(file), "normalizer");
  return [part](std::string text) {
    part->apply(text, {});
    return text;
  };
}

inline Apply pre_tokenizer(const std::string& file) {
  std::shared_ptr<PreTokenizer> part =
      make_plain_pre_tokenizer(json::parse(file), "pre_tokenizer");
  return [part](std::string text) {
    Pieces pieces;
    pieces.text = std::move(text);
    if (!pieces.text.empty()) pieces.ends.push_back(pieces.text.size());
    part->split(pieces);
    json list = json::array();
    for (std::size_t i = 0; i < pieces.ends.size(); ++i) list.push_back(pieces.piece(i));
    return dump(list);
  };
}

inline Apply model(const std::string& file) {
  const json spec = json::parse(file);
  const std::string type = spec.at("type");
  std::shared_ptr<Model> part = type == "WordPiece" ? make_word_piece(spec, "model")
                                : type == "Unigram" ? make_unigram(spec, "model")
                                                    : make_word_level(spec, "model");
  return [part](const std::string& text) {
    std::vector<std::int32_t> ids;
    if (!text.empty()) part->encode(text, ids);
    return dump(ids);
  };
}

inline Apply decoder(const std::string& file) {
  std::shared_ptr<Decoder> part = make_decoder(json::parse(file), "decoder");
  return [part](const std::string& text) {
    auto tokens = json::parse(text).get<std::vector<std::string>>();
    part->apply(tokens);
    std::string joined;
    for (const std::string& token : tokens) joined += token;
    return joined;
  };
}

inline Apply sp_encode(const std::string& file) {
  std::shared_ptr<Tokenizer> part = read_sentence_piece(file, "model");
  return [part](const std::string& text) {
    std::vector<std::int32_t> ids;
    part->encode(text, ids);
    return dump(ids);
  };
}

inline Apply sp_decode(const std::string& file) {
  std::shared_ptr<Tokenizer> part = read_sentence_piece(file, "model");
  return [part](const std::string& text) {
    return part->decode(json::parse(text).get<std::vector<std::int32_t>>());
  };
}

inline std::shared_ptr<Tokenizer> hugging_face(const std::string& file) {
  return make_hugging_face(json::parse(file), "[SEP]", "tokenizer.json");
}

inline Apply hf_encode(const std::string& file) {
  return [part = hugging_face(file)](const std::string& text) {
    std::vector<std::int32_t> ids;
    part->encode(text, ids);
    return dump(ids);
  };
}

inline Apply hf_decode(const std::string& file) {
  return [part = hugging_face(file)](const std::string& text) {
    return part->decode(json::parse(text).get<std::vector<std::int32_t>>());
  };
}

/// `part` is normalizer, pre_tokenizer, model or decoder with `file` its JSON, hf_encode or
/// hf_decode with a tokenizer.json whose documents end with [SEP], or sp_encode or sp_decode
/// with a SentencePiece model.
inline Apply part_from(const std::string& part, const std::string& file) {
  const std::map<std::string, Apply (*)(const std::string&)> parts{
      {"normalizer", normalizer}, {"pre_tokenizer", pre_tokenizer}, {"model", model},
      {"hf_encode", hf_encode},   {"hf_decode", hf_decode},         {"decoder", decoder},
      {"sp_encode", sp_encode},   {"sp_decode", sp_decode}};
  return parts.at(part)(file);
}

}  // namespace trireme::test
