// SPDX-License-Identifier: Apache-2.0
// JSON without a library, as the lowest floor has none.
#include "log_line.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace trireme::log {

namespace {

/// The length of the UTF-8 character at the beginning of `text`; 0 if there is none.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t n = first >= 0xc2 && first < 0xe0   ? 2
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xf0 && first < 0xf5 ? 4
                                                        : 0;
  if (n == 0 || n > text.size()) return 0;
  for (std::size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return 0;
  }
  const bool wrong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) >= 0xa0) ||
                     (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) >= 0x90);
  return wrong ? 0 : n;
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t n = character(text);
    const char c = text.front();
    if (n == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < ' ') {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += text.substr(0, n);
    }
    text.remove_prefix(n == 0 ? 1 : n);
  }
  return out + '"';
}

}  // namespace

std::string json_of(const Line& line, int rank, std::string_view host) {
  constexpr std::array kLevels = {"info", "warning", "error", "note"};
  const auto milliseconds = static_cast<std::int64_t>(std::floor(line.time * 1000));
  const auto seconds = static_cast<std::time_t>(milliseconds / 1000);
  return fmt::format(
      R"({{"time": "{:%Y-%m-%dT%H:%M:%S}.{:03}Z", "rank": {}, "host": {}, "level": "{}", )"
      R"("text": {}{}{}}})",
      fmt::gmtime(seconds), milliseconds % 1000, rank, in_quotes(host),
      kLevels[static_cast<std::size_t>(line.level)], in_quotes(line.text),
      line.fields.empty() ? "" : ", ", line.fields);
}

}  // namespace trireme::log
