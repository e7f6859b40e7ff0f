// SPDX-License-Identifier: Apache-2.0
// Reads blocks of JSON lines.
#include <algorithm>

#include <simdjson.h>

#include "trireme/core/printable.hpp"

#include "content.hpp"
#include "text_file.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kStep = 1 << 20;

/// The 1-based line at `offset`. Called only for error messages, as this reads the file up to
/// there.
std::int64_t line_number(const TextFile& file, std::int64_t offset) {
  std::int64_t line = 1;
  for (std::int64_t at = 0; at < offset; at += kStep) {
    const std::string text = file.read(at, std::min(at + kStep, offset));
    line += std::count(text.begin(), text.end(), '\n');
  }
  return line;
}

/// Finds the text in a line's document. simdjson's on-demand interface would be faster, but
/// checks only what is asked for. Half a line must not pass for a document.
class LineParser {
 public:
  LineParser(const TextFile& file, const std::string& key) : file_(file), key_(key) {}

  /// `line` is followed by SIMDJSON_PADDING readable bytes.
  std::string_view parse(std::string_view line, std::int64_t offset) {
    simdjson::dom::element value;
    const auto error = parser_.parse(line.data(), line.size(), false).get(value);
    if (error != simdjson::SUCCESS) {
      const std::string trouble = json_trouble(line);
      fail(offset, trouble.empty()
                       ? fmt::format("not valid JSON: {}", simdjson::error_message(error))
                       : "not JSON lines: " + trouble);
    }
    simdjson::dom::object object;
    if (value.get(object) != simdjson::SUCCESS) {
      const std::string trouble = json_trouble(line);
      fail(offset, "the line is not a JSON object" + (trouble.empty() ? "" : ": " + trouble));
    }
    simdjson::dom::element text_value;
    if (object.at_key(key_).get(text_value) != simdjson::SUCCESS) {
      fail(offset, fmt::format("there is no key \"{}\"; {}", key_, keys_of(object)));
    }
    std::string_view text;
    if (text_value.get(text) != simdjson::SUCCESS) {
      fail(offset, fmt::format("the value of \"{}\" is not a text, but {}", key_,
                               kind_of(text_value.type())));
    }
    return text;
  }

 private:
  [[noreturn]] void fail(std::int64_t offset, const std::string& what) const {
    throw Error(fmt::format("{}, line {}: {}", file_.path(), line_number(file_, offset), what));
  }

  /// "the keys here are "id" and "body"; --jsonl-key chooses one".
  static std::string keys_of(const simdjson::dom::object& object) {
    constexpr std::size_t kShown = 8;
    constexpr std::size_t kLength = 40;
    std::vector<std::string> keys;
    for (const auto& [key, value] : object) {
      if (keys.size() == kShown) {
        keys.emplace_back("...");
        break;
      }
      keys.push_back(fmt::format("\"{}\"", shortened(key, kLength)));
    }
    if (keys.empty()) return "the object is empty";
    return fmt::format("the keys here are {}; --jsonl-key chooses one", fmt::join(keys, ", "));
  }

  static std::string_view kind_of(simdjson::dom::element_type type) {
    switch (type) {
      case simdjson::dom::element_type::ARRAY:
        return "an array";
      case simdjson::dom::element_type::OBJECT:
        return "an object";
      case simdjson::dom::element_type::BOOL:
        return "true or false";
      case simdjson::dom::element_type::NULL_VALUE:
        return "null";
      default:
        return "a number";
    }
  }

  const TextFile& file_;
  const std::string& key_;
  simdjson::dom::parser parser_;
};

/// Extends `text`, which starts at offset `begin`, to the end of its last line.
void complete_line(const TextFile& file, std::int64_t begin, std::string& text) {
  if (text.back() == '\n') return;
  const std::size_t line = text.rfind('\n') + 1;  // npos + 1 is 0
  while (text.back() != '\n') {
    const std::int64_t at = begin + static_cast<std::int64_t>(text.size());
    const std::string more = file.read(at, at + kStep);
    if (more.empty()) return;
    text.append(more, 0, std::min(more.find('\n'), more.size() - 1) + 1);
    TRM_REQUIRE(text.size() - line <= TextBlocks::kMaxLine,
                "{}: the line around byte {} is longer than {} bytes", file.path(), at,
                TextBlocks::kMaxLine);
  }
}

bool blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

TextPieces read_jsonl(const TextFile& file, const TextRange& block, const std::string& key,
                      const Tokenizer& tokenizer) {
  // One byte more on the left shows whether a line starts exactly at the block's beginning.
  const std::int64_t begin = std::max<std::int64_t>(0, block.begin - 1);
  std::string text = file.read(begin, block.end);
  TextPieces pieces;
  pieces.hash =
      hash_share(std::string_view(text).substr(static_cast<std::size_t>(block.begin - begin)),
                 block.begin);

  std::size_t at = 0;
  if (block.begin > 0) {
    const std::size_t found = text.find('\n');
    // A newline that is the block's last byte starts a line of the next block.
    if (found >= text.size() - 1) return pieces;
    at = found + 1;
  }
  complete_line(file, begin, text);
  if (block.begin < file.start()) {
    // Text begins behind the mark. Lines found from a byte of the mark on begin later.
    at = std::max(at, static_cast<std::size_t>(file.start() - begin));
  }
  const std::size_t end = text.size();
  text.append(simdjson::SIMDJSON_PADDING, ' ');
  LineParser parser(file, key);
  while (at < end) {
    const std::size_t stop = std::min(text.find('\n', at), end);
    const std::string_view line = std::string_view(text).substr(at, stop - at);
    if (!blank(line)) {
      tokenizer.encode(parser.parse(line, begin + static_cast<std::int64_t>(at)),
                       pieces.tokens);
      pieces.ends.push_back(static_cast<std::int64_t>(pieces.tokens.size()));
    }
    at = stop + 1;
  }
  return pieces;
}

}  // namespace trireme
