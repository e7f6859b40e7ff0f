// SPDX-License-Identifier: Apache-2.0
// Tokenizers whose tokens are bytes that merge in the order of their ids.
#include "ranks.hpp"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

#include "base64.hpp"
#include "bpe.hpp"
#include "encodings.hpp"
#include "fields.hpp"
#include "pipeline.hpp"
#include "split.hpp"

namespace trireme {

namespace {

constexpr std::size_t kFreeRanks = 1024;      // that a .tiktoken file may leave out
constexpr std::int32_t kMostSpecial = 65536;  // of tekken.json; published ones have 1,000

/// The tokens in the order of their ranks, "" where a rank is free.
std::string definition_of(const RankedTokens& ranked) {
  nlohmann::json tokens = nlohmann::json::array();
  for (const auto& [bytes, rank] : ranked.tokens) {
    while (static_cast<std::int64_t>(tokens.size()) < rank) tokens.push_back("");
    tokens.push_back(to_base64(bytes));
  }
  nlohmann::json definition;
  definition["pattern"] = ranked.pattern;
  definition["tokens"] = std::move(tokens);
  definition["special_tokens"] = ranked.special;
  definition["end_of_document"] = ranked.end;
  definition["first_id"] = ranked.first_id;
  if (ranked.allow_special) definition["allow_special"] = true;
  return definition.dump();
}

std::string token_from(std::string_view base64, const std::string& where) {
  auto bytes = from_base64(base64);
  TRM_REQUIRE(bytes.has_value() && !bytes->empty(), "{}: \"{}\" is no token in base64", where,
              shortened(base64, 40));
  return *bytes;
}

void sort_by_rank(RankedTokens& ranked) {
  std::sort(ranked.tokens.begin(), ranked.tokens.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
}

/// A line "BASE64 RANK".
std::pair<std::string, std::int32_t> read_line(std::string_view line,
                                               const std::string& where) {
  const std::size_t space = line.find(' ');
  const std::string_view number = space == std::string_view::npos ? "" : line.substr(space + 1);
  std::int32_t rank = -1;
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), rank);
  TRM_REQUIRE(!number.empty() && code == std::errc() && end == number.data() + number.size() &&
                  rank >= 0 && rank <= kLargestId,
              "{}: \"{}\" is not a token in base64 and its rank", where, shortened(line, 60));
  return {token_from(line.substr(0, space), where), rank};
}

std::size_t line_end(std::string_view text, std::size_t at) {
  return std::min(text.find('\n', at), text.size());
}

const Encoding& find_encoding(std::string_view text, std::size_t ranks, const std::string& name,
                              const std::string& where) {
  const std::string names = fmt::format("{}", fmt::join(tokenizer_encodings(), ", "));
  if (!name.empty()) {
    const auto known = std::find_if(encodings().begin(), encodings().end(),
                                    [&](const Encoding& e) { return e.name == name; });
    TRM_REQUIRE(known != encodings().end(), "the encoding \"{}\" is not known; these are: {}",
                printable(name), names);
    return *known;
  }
  const std::uint64_t fingerprint = fingerprint_of(text);
  std::string likely;
  for (const Encoding& encoding : encodings()) {
    if (encoding.fingerprint == fingerprint) return encoding;
    if (encoding.ranks == ranks) likely = fmt::format(", such as --encoding {}", encoding.name);
  }
  throw Error(
      fmt::format("{}: the file holds tokens without their pattern. Name the encoding "
                  "to which they belong{}; these are known: {}",
                  where, likely, names));
}

/// The names of a tekken.json's special tokens by rank. Files of early versions leave them out.
std::vector<std::string> tekken_special(const nlohmann::json& spec, const std::string& where) {
  static const std::vector<std::string> kEarly = {"<unk>",
                                                  "<s>",
                                                  "</s>",
                                                  "[INST]",
                                                  "[/INST]",
                                                  "[AVAILABLE_TOOLS]",
                                                  "[/AVAILABLE_TOOLS]",
                                                  "[TOOL_RESULTS]",
                                                  "[/TOOL_RESULTS]",
                                                  "[TOOL_CALLS]",
                                                  "[IMG]",
                                                  "<pad>",
                                                  "[IMG_BREAK]",
                                                  "[IMG_END]",
                                                  "[PREFIX]",
                                                  "[MIDDLE]",
                                                  "[SUFFIX]",
                                                  "[SYSTEM_PROMPT]",
                                                  "[/SYSTEM_PROMPT]",
                                                  "[TOOL_CONTENT]"};
  if (!spec.contains("special_tokens") || spec["special_tokens"].is_null()) return kEarly;
  std::vector<std::string> names;
  for (const nlohmann::json& token : spec["special_tokens"]) {
    const std::string where_token = fmt::format("{}: special token {}", where, names.size());
    TRM_REQUIRE(id_from(field(token, "rank", where_token), where_token) == std::ssize(names),
                "{}: its rank must be {}", where_token, names.size());
    names.push_back(text_field(token, "token_str", where_token));
  }
  return names;
}

}  // namespace

bool is_tiktoken(std::string_view text) {
  const std::string_view line = text.substr(0, line_end(text, 0));
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size()) return false;
  return from_base64(line.substr(0, space)).has_value() &&
         line.find_first_not_of("0123456789\r", space + 1) == std::string_view::npos;
}

std::vector<std::string> tokenizer_encodings() {
  std::vector<std::string> names;
  for (const Encoding& encoding : encodings()) names.emplace_back(encoding.name);
  return names;
}

std::unique_ptr<Tokenizer> read_tiktoken(std::string_view text, const std::string& encoding,
                                         const std::string& end, const std::string& where,
                                         bool allow_special) {
  RankedTokens ranked;
  ranked.allow_special = allow_special;
  for (std::size_t at = 0, number = 1; at < text.size(); ++number) {
    std::string_view line = text.substr(at, line_end(text, at) - at);
    at += line.size() + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    ranked.tokens.push_back(read_line(line, fmt::format("{}, line {}", where, number)));
  }
  sort_by_rank(ranked);
  // Work and memory follow the largest rank, which one line could make large.
  const std::size_t most = 2 * ranked.tokens.size() + kFreeRanks;
  const std::int32_t largest = ranked.tokens.empty() ? 0 : ranked.tokens.back().second;
  TRM_REQUIRE(static_cast<std::size_t>(largest) <= most,
              "{}: the rank {} is too large for a file of {} tokens; at most {}", where,
              largest, ranked.tokens.size(), most);
  const Encoding& known = find_encoding(text, ranked.tokens.size(), encoding, where);
  ranked.pattern = known.pattern;
  ranked.special = known.special();
  ranked.end = end.empty() ? known.end : end;
  return make_ranked(std::move(ranked), where);
}

std::unique_ptr<Tokenizer> read_tekken(const nlohmann::json& spec, const std::string& end,
                                       const std::string& where, bool allow_special) {
  const nlohmann::json& config = field(spec, "config", where);
  const std::string where_config = where + ": config";
  RankedTokens ranked;
  ranked.allow_special = allow_special;
  ranked.pattern = text_field(config, "pattern", where_config);
  ranked.end = end.empty() ? "</s>" : end;
  const std::int32_t special =
      id_from(field(config, "default_num_special_tokens", where_config), where_config);
  const std::int32_t size =
      id_from(field(config, "default_vocab_size", where_config), where_config);
  TRM_REQUIRE(special <= kMostSpecial, "{}: {} special tokens; at most {} are read",
              where_config, special, kMostSpecial);
  TRM_REQUIRE(special < size, "{}: {} special tokens leave no token of {}", where_config,
              special, size);
  ranked.first_id = special;
  const nlohmann::json& vocab = field(spec, "vocab", where);
  TRM_REQUIRE(vocab.is_array() && std::ssize(vocab) >= size - special,
              "{}: the list \"vocab\" must hold at least {} tokens", where, size - special);
  for (std::int32_t i = 0; i < size - special; ++i) {
    const std::string where_token = fmt::format("{}: vocab, token {}", where, i);
    const auto& token = vocab[static_cast<std::size_t>(i)];
    TRM_REQUIRE(id_from(field(token, "rank", where_token), where_token) == i,
                "{}: its rank must be {}", where_token, i);
    ranked.tokens.emplace_back(
        token_from(text_field(token, "token_bytes", where_token), where_token), i);
  }
  const std::vector<std::string> names = tekken_special(spec, where);
  TRM_REQUIRE(std::ssize(names) <= special, "{}: {} special tokens, but config allows {}",
              where, names.size(), special);
  for (std::int32_t i = 0; i < special; ++i) {
    ranked.special.emplace_back(i < std::ssize(names) ? names[static_cast<std::size_t>(i)]
                                                      : fmt::format("<SPECIAL_{}>", i),
                                i);
  }
  return make_ranked(std::move(ranked), where);
}

std::unique_ptr<Tokenizer> make_ranked(const std::string& definition) {
  const std::string where = "the tokenizer's definition";
  const nlohmann::json spec = parse_json(definition, where);
  require_fields(
      spec,
      {"pattern", "tokens", "special_tokens", "end_of_document", "first_id", "allow_special"},
      where);
  RankedTokens ranked;
  ranked.pattern = text_field(spec, "pattern", where);
  ranked.end = text_field(spec, "end_of_document", where);
  ranked.first_id = id_from(field(spec, "first_id", where), where);
  ranked.allow_special = flag(spec, "allow_special", false, where);
  std::int32_t rank = 0;
  for (const nlohmann::json& token : field(spec, "tokens", where)) {
    TRM_REQUIRE(token.is_string(), "{}: token {} is no text", where, rank);
    const std::string& text = token.get_ref<const std::string&>();
    if (!text.empty()) ranked.tokens.emplace_back(token_from(text, where), rank);
    ++rank;
  }
  for (const nlohmann::json& token : field(spec, "special_tokens", where)) {
    TRM_REQUIRE(token.is_array() && token.size() == 2 && token[0].is_string(),
                "{}: a special token is no pair of name and id", where);
    ranked.special.emplace_back(token[0].get<std::string>(), id_from(token[1], where));
  }
  return make_ranked(std::move(ranked), where);
}

std::unique_ptr<Tokenizer> make_ranked(RankedTokens&& ranked, const std::string& where) {
  TRM_REQUIRE(!ranked.tokens.empty(), "{}: there are no tokens", where);
  PipelineParts parts;
  parts.kind = "ranks";
  parts.where = where;
  parts.definition = definition_of(ranked);
  parts.finds_added = ranked.allow_special;  // false: like encode_ordinary()
  parts.model_takes_bytes = true;
  Vocabulary vocabulary;
  constexpr std::size_t kLongestToken = 1024;
  for (auto& [bytes, rank] : ranked.tokens) {
    TRM_REQUIRE(bytes.size() <= kLongestToken,
                "{}: the token of rank {} has {} bytes, at most {}", where, rank, bytes.size(),
                kLongestToken);
    vocabulary.add(std::move(bytes), ranked.first_id + rank, where);
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    TRM_REQUIRE(vocabulary.id_of(std::string_view(&c, 1)).has_value(),
                "{}: the byte {:#04x} has no token", where, byte);
  }
  std::optional<std::int32_t> end;
  for (const auto& [name, id] : ranked.special) {
    TRM_REQUIRE(!vocabulary.has(id), "{}: the special token {} has the id {} of another token",
                where, printable(name), id);
    vocabulary.add_name(name, id, where);
    parts.added.push_back({.content = name, .id = id, .special = true});
    if (name == ranked.end) end = id;
  }
  TRM_REQUIRE(end.has_value(), "{}: the token \"{}\", which is to end documents, is missing",
              where, printable(ranked.end));
  parts.end_of_document = *end;
  parts.scanner = make_scanner(ranked.pattern, Flavour::rust);
  if (parts.scanner == nullptr) {
    parts.pre_tokenizer = std::make_unique<Split>(ranked.pattern, Flavour::rust, where);
  }
  const auto last = static_cast<std::int32_t>(vocabulary.size() - 1);
  PairTable merges = merges_by_rank(vocabulary, last);
  parts.model = std::make_unique<Bpe>(std::move(vocabulary), std::move(merges),
                                      BpeOptions{.ignore_merges = true, .bytes = true}, where);
  return std::make_unique<Pipeline>(std::move(parts));
}

}  // namespace trireme
