// SPDX-License-Identifier: Apache-2.0
// BPE models of tokenizer.json, and the choice of a model by its type.
#include "bpe_reader.hpp"

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

#include "byte_alphabet.hpp"
#include "fields.hpp"

namespace trireme {

namespace {

Vocabulary read_vocabulary(const nlohmann::json& spec, bool bytes, const std::string& where) {
  TRM_REQUIRE(spec.is_object(), "{}: \"vocab\" must be an object of tokens and ids", where);
  Vocabulary vocabulary;
  for (const auto& [token, value] : spec.items()) {
    const std::int32_t id = id_from(value, where + ", \"" + shortened(token, 40) + "\"");
    if (!bytes) {
      vocabulary.add(token, id, where);
    } else if (auto raw = bytes_of_characters(token)) {
      vocabulary.add(std::move(*raw), id, where);
    } else {  // no piece has such characters
      vocabulary.add_name(token, id, where);
    }
  }
  return vocabulary;
}

std::pair<std::string, std::string> read_merge(const nlohmann::json& merge,
                                               const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  std::string text = merge.is_string() ? merge.get<std::string>() : "";
  const std::size_t space = text.find(' ');
  TRM_REQUIRE(
      space != std::string::npos && text.find(' ', space + 1) == std::string::npos,
      "{}: a merge must be two tokens with one space between, not {}", where,
      shortened(merge.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), 60));
  return {text.substr(0, space), text.substr(space + 1)};
}

std::string as_bytes(const std::string& token, bool bytes, const std::string& where) {
  if (!bytes) return token;
  auto raw = bytes_of_characters(token);
  TRM_REQUIRE(raw.has_value(), "{}: a merge has \"{}\", whose characters stand for no bytes",
              where, shortened(token, 40));
  return *raw;
}

void require_no_dropout(const nlohmann::json& spec, const std::string& where) {
  const bool has = spec.contains("dropout") && !spec["dropout"].is_null();
  TRM_REQUIRE(!has || (spec["dropout"].is_number() && spec["dropout"].get<double>() == 0),
              "{}: \"dropout\" would make ids random, which is not supported: set it to null",
              where);
}

}  // namespace

bool is_bpe(const nlohmann::json& spec) {
  if (!spec.is_object()) return false;
  if (spec.contains("type")) return spec["type"] == "BPE";
  return spec.contains("merges");
}

std::unique_ptr<Bpe> read_bpe(const nlohmann::json& spec, bool bytes,
                              const std::string& where) {
  require_fields(
      spec,
      {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
       "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"},
      where);
  require_no_dropout(spec, where);
  BpeOptions options;
  options.unknown = optional_text(spec, "unk_token", where);
  options.inner_prefix = optional_text(spec, "continuing_subword_prefix", where);
  options.end_suffix = optional_text(spec, "end_of_word_suffix", where);
  options.fuse_unknown = flag(spec, "fuse_unk", false, where);
  options.byte_fallback = flag(spec, "byte_fallback", false, where);
  options.ignore_merges = flag(spec, "ignore_merges", false, where);
  options.bytes = bytes;
  Vocabulary vocabulary = read_vocabulary(field(spec, "vocab", where), bytes, where);
  const nlohmann::json& list = field(spec, "merges", where);
  TRM_REQUIRE(list.is_array(), "{}: \"merges\" must be a list", where);
  PairTable merges(list.size());
  for (const nlohmann::json& merge : list) {
    const auto [left, right] = read_merge(merge, where);
    const std::string a = as_bytes(left, bytes, where);
    const std::string b = as_bytes(right, bytes, where);
    TRM_REQUIRE(b.size() >= options.inner_prefix.size(),
                "{}: the merge \"{} {}\" lacks the continuing_subword_prefix", where,
                shortened(left, 40), shortened(right, 40));
    add_merge(merges, vocabulary, a, b, a + b.substr(options.inner_prefix.size()), where);
  }
  if (bytes && !options.unknown.empty()) {
    options.unknown = bytes_of_characters(options.unknown).value_or(options.unknown);
  }
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), std::move(options),
                               where);
}

std::unique_ptr<Model> make_model(const nlohmann::json& spec, const std::string& where) {
  TRM_REQUIRE(spec.is_object(), "{}: an object is expected", where);
  if (is_bpe(spec)) return read_bpe(spec, false, where);
  std::string type = optional_text(spec, "type", where);
  if (type.empty()) {  // files of old versions
    const bool is_list = spec.contains("vocab") && spec["vocab"].is_array();
    const bool has_prefix = spec.contains("continuing_subword_prefix");
    type = is_list ? "Unigram" : has_prefix ? "WordPiece" : "WordLevel";
  }
  if (type == "WordPiece") return make_word_piece(spec, where);
  if (type == "Unigram") return make_unigram(spec, where);
  if (type == "WordLevel") return make_word_level(spec, where);
  throw Error(
      fmt::format("{}: the type \"{}\" is not known; BPE, WordPiece, Unigram and "
                  "WordLevel are",
                  where, shortened(type, 40)));
}

}  // namespace trireme
