// SPDX-License-Identifier: Apache-2.0
// Signatures of file formats, text encodings, and layouts of JSON.
#include "content.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <simdjson.h>

namespace trireme {

namespace {

using namespace std::string_view_literals;

struct Signature {
  std::string_view bytes;
  std::size_t offset;
  std::string_view is;  ///< completes "it holds …"
};

constexpr std::string_view kUnpackFirst = "compressed data; decompress it first";
constexpr std::string_view kDocument = "not text; extract its text first";
constexpr std::string_view kTable = "not text; write its text column as JSON lines first";
constexpr std::string_view kUtf = "text; convert it to UTF-8 first (iconv -t UTF-8)";

constexpr std::array kSignatures{
    Signature{"\x1f\x8b"sv, 0, "gzip-"},
    Signature{"\x1f\x9d"sv, 0, "compress-"},
    Signature{"\x28\xb5\x2f\xfd"sv, 0, "zstd-"},
    Signature{"\xfd\x37zXZ\0"sv, 0, "xz-"},
    Signature{"\x04\x22\x4d\x18"sv, 0, "lz4-"},
    Signature{"7z\xbc\xaf\x27\x1c"sv, 0, "7z-"},
    Signature{"PK\x03\x04"sv, 0, "zip-"},
    Signature{"PK\x05\x06"sv, 0, "zip-"},
    Signature{"1AY&SY"sv, 4, "bzip2-"},  // "BZh" and a digit stand before it
    Signature{"\x17\x72\x45\x38\x50\x90"sv, 4, "bzip2-"},
    Signature{"ustar"sv, 257, "a tar archive"},
    Signature{"%PDF-"sv, 0, "PDF"},
    Signature{"PAR1"sv, 0, "Parquet"},
    Signature{"ARROW1\0"sv, 0, "Arrow"},
    Signature{"SQLite format 3\0"sv, 0, "an SQLite database"},
    Signature{"\x93NUMPY"sv, 0, "a NumPy array"},
    Signature{"\x89HDF\r\n\x1a\n"sv, 0, "HDF5"},
    Signature{"trireme token file, version "sv, 0, "HDF5"},  // HDF5 behind a seal: see h5::Seal
    Signature{"\xff\xfe\0\0"sv, 0, "UTF-32"},
    Signature{"\0\0\xfe\xff"sv, 0, "UTF-32"},
    Signature{"\xff\xfe"sv, 0, "UTF-16"},
    Signature{"\xfe\xff"sv, 0, "UTF-16"},
};

std::string with_advice(std::string_view is) {
  if (is == "HDF5") {
    return "it holds HDF5; a file that `trireme prepare` wrote is named as data_path of a deck";
  }
  if (is.ends_with('-')) return fmt::format("it holds {}{}", is, kUnpackFirst);
  if (is.starts_with("UTF")) return fmt::format("it holds {} {}", is, kUtf);
  if (is == "Parquet" || is == "Arrow") return fmt::format("it holds {}, {}", is, kTable);
  return fmt::format("it holds {}, {}", is, kDocument);
}

/// "UTF-16" or "UTF-32" if the zero bytes of Latin text in such an encoding stand where they
/// must, else "". Text in UTF-8 has no zero bytes.
std::string_view wide_encoding(std::string_view head) {
  std::array<std::size_t, 4> zeros{};
  const std::size_t n = head.size() / 4;
  if (n < 2) return "";
  for (std::size_t i = 0; i < 4 * n; ++i) zeros[i % 4] += head[i] == '\0' ? 1 : 0;
  const auto full = [&](std::size_t at) { return 10 * zeros[at] >= 9 * n; };
  const auto bare = [&](std::size_t at) { return 10 * zeros[at] <= n; };
  const bool little = bare(0) && full(1) && full(3);
  const bool big = full(0) && bare(3) && full(2);
  if ((little && full(2)) || (big && full(1))) return "UTF-32";
  if ((little && bare(2)) || (big && bare(1))) return "UTF-16";
  return "";
}

constexpr std::string_view kBlanks = " \t\r\n";

/// Walks over JSON outside of its strings.
class JsonScan {
 public:
  explicit JsonScan(std::string_view text) : text_(text) {}
  /// Goes to the next character outside of strings. Returns '\0' at the end.
  char next() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (in_string_ && c == '\\') ++at_;
      if (c == '"') in_string_ = !in_string_;
      if (!in_string_ && c != '"') return text_[at_++];
    }
    return '\0';
  }
  [[nodiscard]] std::string_view rest() const {
    return text_.substr(std::min(at_, text_.size()));
  }
  [[nodiscard]] bool in_string() const { return in_string_; }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  bool in_string_ = false;
};

/// The first word that is a number for Python but not for JSON.
std::string_view foreign_number(std::string_view line) {
  JsonScan scan(line);
  for (char c = scan.next(); c != '\0'; c = scan.next()) {
    for (const std::string_view word : {"NaN"sv, "Infinity"sv}) {
      if (c == word.front() && scan.rest().starts_with(word.substr(1))) return word;
    }
  }
  return "";
}

}  // namespace

std::int64_t byte_order_mark(std::string_view text) {
  return text.starts_with("\xef\xbb\xbf") ? 3 : 0;
}

std::string why_not_text(std::string_view head) {
  for (const Signature& s : kSignatures) {
    if (head.size() < s.offset || !head.substr(s.offset).starts_with(s.bytes)) continue;
    if (s.is == "bzip2-" && !head.starts_with("BZh")) continue;
    return with_advice(s.is);
  }
  const std::string_view wide = wide_encoding(head);
  return wide.empty() ? "" : with_advice(wide);
}

JsonLayout json_layout(const HeadReader& head) {
  constexpr std::size_t kFirst = 1 << 16;
  constexpr std::size_t kMost = 16 << 20;  // a longer first line is judged by its beginning
  std::string text;
  std::string_view line;
  for (std::size_t bytes = kFirst; bytes <= kMost; bytes *= 16) {
    text = head(bytes);
    const std::size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
    line = std::string_view(text).substr(begin);
    const bool json = line.starts_with('{') || line.starts_with('[');
    if (!json && !line.empty()) return JsonLayout::none;
    const std::size_t end = line.find('\n');
    if (end != std::string_view::npos) {
      line = line.substr(0, end);
      break;
    }
  }
  if (line.empty()) return JsonLayout::none;
  const std::string_view whole =
      std::string_view(text).substr(static_cast<std::size_t>(line.data() - text.data()));
  const auto follows = [&](std::size_t at) {  // the next character that is no blank
    const std::size_t found = whole.find_first_not_of(kBlanks, at);
    return std::pair(found, found == std::string_view::npos ? '\0' : whole[found]);
  };
  const auto [second, character] = follows(1);
  if (line.front() == '[') {
    const bool objects = character == '{' && follows(second + 1).second == '"';
    return objects ? JsonLayout::array : JsonLayout::none;
  }
  simdjson::dom::parser parser;
  simdjson::dom::element value;
  const bool parsed = parser.parse(line.data(), line.size()).get(value) == simdjson::SUCCESS;
  if (parsed && value.is_object()) return JsonLayout::lines;
  if (character != '"') return JsonLayout::none;
  // The line begins as an object does. If the object ends on its line, or the line is too long
  // to be read here, the file is meant as JSON lines. The reader then names what is wrong.
  return json_trouble(line).starts_with("the object") && line.size() < whole.size()
             ? JsonLayout::one_big
             : JsonLayout::lines;
}

std::string_view to_json_lines(JsonLayout layout) {
  return layout == JsonLayout::array ? "jq -c '.[]'" : "jq -c .";
}

std::string json_trouble(std::string_view line) {
  line = line.substr(std::min(line.find_first_not_of(kBlanks), line.size()));
  if (line.starts_with('[')) {
    return fmt::format(
        "a JSON array; JSON lines are one object a line, and {} FILE makes them from an array",
        to_json_lines(JsonLayout::array));
  }
  const std::string_view number = foreign_number(line);
  if (!number.empty()) return fmt::format("{} is not a number of JSON; write null", number);
  if (!line.starts_with('{')) return "";
  JsonScan scan(line);
  int depth = 0;
  for (char c = scan.next(); c != '\0'; c = scan.next()) {
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > 0) continue;
    const std::string_view rest = scan.rest();
    const std::size_t next = rest.find_first_not_of(" \t\r,");
    if (next == std::string_view::npos) return "";
    return rest[next] == '{' ? "two JSON objects on one line; JSON lines are one object a line"
                             : "";
  }
  if (scan.in_string()) return "";
  return fmt::format(
      "the object does not end on its line; JSON lines are one object a line, and {} FILE "
      "makes "
      "them",
      to_json_lines(JsonLayout::one_big));
}

}  // namespace trireme
