// SPDX-License-Identifier: Apache-2.0
// Reads blocks of JSON lines.
#include <algorithm>

#include <simdjson.h>

#include "content.hpp"
#include "record.hpp"
#include "text_file.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kStep = 1 << 20;

bool blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

/// Whether an escape in the line stands for half of a surrogate pair, if any does.
bool has_surrogate(std::string_view line) {
  for (std::size_t at = line.find("\\u"); at != std::string_view::npos;
       at = line.find("\\u", at + 2)) {
    const std::string_view digits = line.substr(at + 2, 2);
    if (digits.size() == 2 && (digits[0] == 'd' || digits[0] == 'D') &&
        std::string_view("89abcdefABCDEF").find(digits[1]) != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

/// What is wrong with a line that simdjson refuses.
Fault fault_of(std::string_view line, simdjson::error_code error) {
  if (error == simdjson::UTF8_ERROR) {
    return {Trouble::utf8, 0, "not valid JSON: the line is not UTF-8"};
  }
  if (error == simdjson::STRING_ERROR && has_surrogate(line)) {
    return {Trouble::surrogate, 0, "a text has half of a surrogate pair"};
  }
  const std::string trouble = json_trouble(line);
  return {Trouble::json, 0,
          trouble.empty() ? fmt::format("not valid JSON: {}", simdjson::error_message(error))
                          : "not JSON lines: " + trouble};
}

/// Encodes lines. simdjson's on-demand interface would be faster, but checks only what is asked
/// for. Half a line must not pass for a document.
class LineEncoder {
 public:
  LineEncoder(const TextFormat& format, const Tokenizer& tokenizer)
      : records_(format, tokenizer) {}

  /// `line` is followed by SIMDJSON_PADDING readable bytes.
  std::optional<Fault> encode(std::string_view line, TextPieces& pieces) {
    simdjson::dom::element value;
    const auto error = parser_.parse(line.data(), line.size(), false).get(value);
    if (error != simdjson::SUCCESS) return fault_of(line, error);
    simdjson::dom::object object;
    if (value.get(object) != simdjson::SUCCESS) {
      const std::string trouble = json_trouble(line);
      return Fault{Trouble::json, 0,
                   "the line is not a JSON object" + (trouble.empty() ? "" : ": " + trouble)};
    }
    return records_.encode(object, pieces);
  }

 private:
  RecordEncoder records_;
  simdjson::dom::parser parser_;
};

/// Extends `text` to the end of its last line, which starts at offset `begin` of the file.
/// Returns false if the line is too long.
bool complete_line(const TextFile& file, std::int64_t begin, std::int64_t max_line,
                   std::string& text) {
  if (text.back() == '\n') return true;
  const std::size_t line = text.rfind('\n') + 1;  // npos + 1 is 0
  while (text.back() != '\n') {
    const std::int64_t at = begin + std::ssize(text);
    const std::string more = file.read(at, at + kStep);
    if (more.empty()) return true;
    text.append(more, 0, std::min(more.find('\n'), more.size() - 1) + 1);
    if (std::ssize(text) - static_cast<std::int64_t>(line) > max_line + 1) {
      text.resize(line);
      return false;
    }
  }
  return true;
}

}  // namespace

Fault long_line(const TextFormat& format) {
  return {Trouble::length, 0, fmt::format("the line has more than {} bytes", format.max_line)};
}

void encode_lines(std::string& text, std::size_t at, const TextFormat& format,
                  const Tokenizer& tokenizer, TextPieces& pieces, std::int64_t line) {
  const std::size_t end = text.size();
  text.append(simdjson::SIMDJSON_PADDING, ' ');
  LineEncoder encoder(format, tokenizer);
  for (; at < end; ++line) {
    const std::size_t stop = std::min(text.find('\n', at), end);
    const std::string_view words = std::string_view(text).substr(at, stop - at);
    at = stop + 1;
    if (std::ssize(words) > format.max_line) {
      Fault fault = long_line(format);
      fault.line = line;
      pieces.add_fault(std::move(fault));
    } else if (blank(words)) {
      ++pieces.blank_lines;
    } else if (auto fault = encoder.encode(words, pieces)) {
      fault->line = line;
      pieces.add_fault(std::move(*fault));
    }
  }
  text.resize(end);
}

TextPieces read_jsonl(const TextFile& file, const TextRange& block, const TextFormat& format,
                      const Tokenizer& tokenizer) {
  // One byte more on the left shows whether a line starts exactly at the block's beginning.
  const std::int64_t begin = std::max<std::int64_t>(0, block.begin - 1);
  std::string text = file.read(begin, block.end);
  const auto own = std::string_view(text).substr(static_cast<std::size_t>(block.begin - begin));
  TextPieces pieces;
  pieces.hash = hash_share(own, block.begin);
  pieces.lines = std::ranges::count(own, '\n');
  pieces.text_bytes = std::ssize(own);

  std::size_t at = 0;
  std::int64_t line = 1;
  if (block.begin > 0) {
    const std::size_t found = text.find('\n');
    // A newline that is the block's last byte starts a line of the next block.
    if (found >= text.size() - 1) return pieces;
    at = found + 1;
    if (found > 0) ++line;  // the newline is the block's own
  }
  const bool whole = complete_line(file, begin, format.max_line, text);
  if (block.begin < file.start()) {
    // Text begins behind the mark. Lines found from a byte of the mark on begin later.
    at = std::max(at, static_cast<std::size_t>(file.start() - begin));
  }
  encode_lines(text, at, format, tokenizer, pieces, line);
  if (!whole) {
    Fault fault = long_line(format);
    fault.line = pieces.lines + 1;
    pieces.add_fault(std::move(fault));
  }
  return pieces;
}

}  // namespace trireme
