// SPDX-License-Identifier: Apache-2.0
// Reads prompts, and turns texts into token ids and back.
#include "prompts.hpp"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <sstream>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/core/regular_file.hpp"

namespace trireme {

namespace {

using Json = nlohmann::json;

/// An answer is decoded behind so many tokens of the prompt.
constexpr std::size_t kContextTokens = 8;

std::string trimmed(const std::string& text) {
  constexpr const char* kBlanks = " \t\r\n\v\f";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

const std::string& text_in(const Json& object, const char* key, const std::string& place) {
  const auto found = object.find(key);
  TRM_REQUIRE(found != object.end() && found->is_string(), "{}: `{}` should be a text", place,
              key);
  return found->get_ref<const std::string&>();
}

Prompt prompt_of(const Json& line, const std::string& place) {
  if (line.is_string()) return {.text = line.get<std::string>()};
  TRM_REQUIRE(line.is_object(), "{}: a line should be an object or a text", place);
  if (const auto messages = line.find("messages"); messages != line.end()) {
    TRM_REQUIRE(messages->is_array() && !messages->empty(),
                "{}: `messages` should be a list of objects with role and content", place);
    Prompt prompt;
    for (const Json& message : *messages) {
      TRM_REQUIRE(message.is_object(), "{}: a message should have role and content", place);
      prompt.messages.push_back(
          {text_in(message, "role", place), text_in(message, "content", place)});
    }
    return prompt;
  }
  for (const char* key : {"prompt", "text", "context"}) {
    if (line.contains(key)) return {.text = text_in(line, key, place)};
  }
  throw Error(fmt::format("{}: there is none of prompt, text, context and messages", place));
}

std::vector<Prompt> parse_lines(const std::string& text, const std::string& name) {
  std::vector<Prompt> prompts;
  std::istringstream in(text);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (trimmed(line).empty()) continue;
    const std::string place = fmt::format("{}:{}", printable(name), number);
    const Json json = Json::parse(line, nullptr, false);
    TRM_REQUIRE(!json.is_discarded(), "{}: this is no JSON: {}", place, shortened(line, 60));
    prompts.push_back(prompt_of(json, place));
  }
  return prompts;
}

}  // namespace

std::vector<Prompt> parse_prompts(const std::string& text, const std::string& end,
                                  const std::string& name) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) {
    return parse_prompts(text.substr(kByteOrderMark.size()), end, name);
  }
  std::vector<Prompt> prompts;
  if (trimmed(text).starts_with('{')) {
    prompts = parse_lines(text, name);
  } else {
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t next = end.empty() ? std::string::npos : text.find(end, at);
      const std::string piece =
          trimmed(text.substr(at, next == std::string::npos ? next : next - at));
      if (!piece.empty()) prompts.push_back({.text = piece});
      at = next == std::string::npos ? text.size() + 1 : next + end.size();
    }
  }
  TRM_REQUIRE(!prompts.empty(), "{} holds no prompt", printable(name));
  return prompts;
}

std::vector<Prompt> read_prompts(const std::string& file, const std::string& end) {
  if (file != "-") return parse_prompts(read_file(file), end, file);
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  return parse_prompts(text, end, "standard input");
}

TokenIds encode_prompt(const std::string& text, const Tokenizer& tokenizer) {
  TokenIds ids = tokenizer.surroundings().before;
  tokenizer.encode(text, ids);
  if (ids.empty()) ids.push_back(tokenizer.end_of_document());
  return ids;
}

std::string answer_text(const Tokenizer& tokenizer, const TokenIds& prompt,
                        const TokenIds& tokens) {
  const std::size_t count = std::min(prompt.size(), kContextTokens);
  TokenIds both(prompt.end() - static_cast<std::ptrdiff_t>(count), prompt.end());
  const std::string before = tokenizer.decode_known(both);
  both.insert(both.end(), tokens.begin(), tokens.end());
  const std::string whole = tokenizer.decode_known(both);
  return whole.starts_with(before) ? whole.substr(before.size())
                                   : tokenizer.decode_known(tokens);
}

std::size_t find_stop(const std::string& text, const std::vector<std::string>& stops) {
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops) first = std::min(first, text.find(stop));
  return first;
}

}  // namespace trireme
