// SPDX-License-Identifier: Apache-2.0
// Hugging Face's tokenizer.json.
#include "hugging_face.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

#include "bpe_reader.hpp"
#include "fields.hpp"
#include "pipeline.hpp"
#include "split.hpp"

namespace trireme {

namespace {

/// Tokens that published tokenizers end documents with, the most telling first.
constexpr std::array<std::string_view, 9> kEnds = {
    "<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>",
    "</s>",          "<eos>",           "<EOT>",
    "<|eos|>",       "[EOS]",           "[SEP]"};

bool is_byte_level(const nlohmann::json& spec) {
  return spec.is_object() && spec.contains("type") && spec["type"] == "ByteLevel";
}

/// Whether pieces can stay raw bytes from the text to the model. The last step before a BPE
/// model then writes bytes in GPT-2's alphabet, and the decoder reads that alphabet.
bool can_keep_bytes(const nlohmann::json& spec, const std::vector<nlohmann::json>& splits) {
  const nlohmann::json& model = spec.at("model");
  const auto is_empty = [&](const char* name) {
    return !model.contains(name) || model[name].is_null() || model[name] == "" ||
           model[name] == false;
  };
  return is_bpe(model) && is_empty("continuing_subword_prefix") &&
         is_empty("end_of_word_suffix") && is_empty("byte_fallback") && !splits.empty() &&
         is_byte_level(splits.back()) &&
         std::none_of(splits.begin(), splits.end() - 1, is_byte_level) &&
         spec.contains("decoder") && is_byte_level(spec["decoder"]);
}

/// Sets scanner or pre_tokenizer, for a model that takes raw bytes.
void set_byte_splits(PipelineParts& parts, const std::vector<nlohmann::json>& splits,
                     const std::string& where) {
  auto last = std::make_unique<ByteLevel>(splits.back(), true, where);
  const bool is_last_whole = !last->adds_space() && !last->has_pattern();
  if (splits.size() == 1 && !last->adds_space() && last->has_pattern()) {
    parts.scanner = make_scanner(kGpt2Pattern, Flavour::oniguruma);
    return;
  }
  if (splits.size() == 2 && is_last_whole && splits[0]["type"] == "Split") {
    const Split only(splits[0], where);
    if (only.is_scan()) {
      parts.scanner = make_scanner(only.expression(), Flavour::oniguruma);
      return;
    }
  }
  std::vector<std::unique_ptr<PreTokenizer>> members;
  for (std::size_t i = 0; i + 1 < splits.size(); ++i) {
    members.push_back(make_pre_tokenizer(splits[i], where));
  }
  members.push_back(std::move(last));
  parts.pre_tokenizer = std::make_unique<SequenceOfSplits>(std::move(members));
}

/// Ids of added tokens follow from the order of the file. Hugging Face ignores the ids there.
void read_added_tokens(PipelineParts& parts, const nlohmann::json& spec) {
  if (!spec.contains("added_tokens") || spec["added_tokens"].is_null()) return;
  const std::string where = parts.where + ": added_tokens";
  TRM_REQUIRE(spec["added_tokens"].is_array(), "{}: a list is expected", where);
  const nlohmann::json& vocabulary = spec["model"]["vocab"];
  auto next = static_cast<std::int64_t>(vocabulary.size());
  std::set<std::string> seen;
  for (const nlohmann::json& item : spec["added_tokens"]) {
    AddedToken token = added_token_from(item, where);
    TRM_REQUIRE(seen.insert(token.content).second, "{}: \"{}\" stands twice", where,
                printable(token.content));
    std::int64_t id = next;
    if (vocabulary.is_object() && vocabulary.contains(token.content)) {
      id = id_from(vocabulary[token.content], where);
    } else if (const auto known = parts.model->id_of(token.content);
               known && !vocabulary.is_object()) {
      id = *known;
    }
    TRM_REQUIRE(token.id == id,
                "{}: \"{}\" has the id {}, but Hugging Face's library gives it {}", where,
                printable(token.content), token.id, id);
    next = std::max<std::int64_t>(next, id + 1);
    parts.added.push_back(std::move(token));
  }
}

std::int32_t find_end(const PipelineParts& parts, const nlohmann::json& vocabulary,
                      const std::string& end) {
  const auto id_of = [&](std::string_view token) -> std::optional<std::int32_t> {
    for (const AddedToken& added : parts.added) {
      if (added.content == token) return added.id;
    }
    if (vocabulary.is_object()) {
      const auto found = vocabulary.find(std::string(token));
      if (found == vocabulary.end()) return std::nullopt;
      return id_from(*found, parts.where);
    }
    return parts.model->id_of(token);
  };
  if (!end.empty()) {
    const auto id = id_of(end);
    TRM_REQUIRE(id.has_value(), "{}: the token \"{}\", which is to end documents, is missing",
                parts.where, printable(end));
    return *id;
  }
  for (const std::string_view known : kEnds) {
    if (const auto id = id_of(known)) return *id;
  }
  throw Error(
      fmt::format("{}: which token ends a document? None of {} is there: name it with "
                  "--end-of-document",
                  parts.where, fmt::join(kEnds, ", ")));
}

const nlohmann::json& part_of(const nlohmann::json& spec, const char* name) {
  static const nlohmann::json none;
  return spec.contains(name) ? spec[name] : none;
}

}  // namespace

std::unique_ptr<Tokenizer> make_hugging_face(nlohmann::json spec, const std::string& end,
                                             const std::string& where) {
  require_fields(spec,
                 {"version", "truncation", "padding", "added_tokens", "normalizer",
                  "pre_tokenizer", "post_processor", "decoder", "model"},
                 where);
  // Samples are as long as the deck says, so that these two have no use.
  spec.erase("truncation");
  spec.erase("padding");
  PipelineParts parts;
  parts.kind = "hugging-face";
  parts.where = where;
  const nlohmann::json& model = field(spec, "model", where);
  parts.normalizer = make_normalizer(part_of(spec, "normalizer"), where + ": normalizer");
  const std::string where_split = where + ": pre_tokenizer";
  const auto splits = members_of(part_of(spec, "pre_tokenizer"), where_split);
  parts.model_takes_bytes = can_keep_bytes(spec, splits);
  if (parts.model_takes_bytes) {
    parts.model = read_bpe(model, true, where + ": model");
    set_byte_splits(parts, splits, where_split);
  } else {
    parts.model = make_model(model, where + ": model");
    parts.pre_tokenizer = make_pre_tokenizer(part_of(spec, "pre_tokenizer"), where_split);
    parts.decoder = make_decoder(part_of(spec, "decoder"), where + ": decoder");
  }
  parts.post_processor =
      make_post_processor(part_of(spec, "post_processor"), where + ": post_processor");
  read_added_tokens(parts, spec);
  const nlohmann::json& vocabulary = part_of(model, "vocab");
  parts.end_of_document = find_end(parts, vocabulary, end);
  nlohmann::json definition;
  definition["tokenizer"] = std::move(spec);
  if (!end.empty()) definition["end_of_document"] = end;
  parts.definition = definition.dump();
  return std::make_unique<Pipeline>(std::move(parts));
}

nlohmann::json gpt2_spec(nlohmann::json vocabulary, const std::string& merges,
                         const std::string& where) {
  nlohmann::json pairs = nlohmann::json::array();
  for (std::size_t at = 0, line = 1; at < merges.size(); ++line) {
    const std::size_t end = std::min(merges.find('\n', at), merges.size());
    std::string text = merges.substr(at, end - at);
    if (text.ends_with('\r')) text.pop_back();
    at = end + 1;
    const bool is_header = line == 1 && text.starts_with("#version");
    if (text.empty() || is_header) continue;
    const std::size_t space = text.find(' ');
    TRM_REQUIRE(space != std::string::npos && text.find(' ', space + 1) == std::string::npos,
                "{}: line {} is no merge of two tokens: \"{}\"", where, line,
                shortened(text, 60));
    pairs.push_back({text.substr(0, space), text.substr(space + 1)});
  }
  nlohmann::json spec;
  const nlohmann::json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  spec["pre_tokenizer"] = byte_level;
  spec["decoder"] = byte_level;
  spec["added_tokens"] = nlohmann::json::array();
  for (const char* const end : {"<|endoftext|>", "<|padding|>"}) {
    if (vocabulary.is_object() && vocabulary.contains(end)) {
      spec["added_tokens"].push_back(
          {{"id", vocabulary[end]}, {"content", end}, {"special", true}});
    }
  }
  spec["model"] = {
      {"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(pairs)}};
  return spec;
}

}  // namespace trireme
