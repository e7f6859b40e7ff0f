// SPDX-License-Identifier: Apache-2.0
// GPT-2's alphabet for bytes.
#include "byte_alphabet.hpp"

#include <array>

#include "utf8.hpp"

namespace trireme {

namespace {

/// Printable characters of Latin-1 stand for themselves, other bytes for U+0100 and on.
std::array<char32_t, 256> make_characters() {
  std::array<char32_t, 256> characters{};
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool prints = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    characters[b] = prints ? b : next++;
  }
  return characters;
}

constexpr std::size_t kBytes = 0x144;  // one more than the last character

std::array<int, kBytes> make_bytes() {
  std::array<int, kBytes> bytes{};
  bytes.fill(-1);
  const std::array<char32_t, 256> characters = make_characters();
  for (int b = 0; b < 256; ++b) bytes[characters[static_cast<std::size_t>(b)]] = b;
  return bytes;
}

}  // namespace

void append_as_characters(std::string& text, std::string_view bytes) {
  static const std::array<char32_t, 256> characters = make_characters();
  for (const char c : bytes) append_utf8(text, characters[static_cast<unsigned char>(c)]);
}

std::optional<std::string> bytes_of_characters(std::string_view text) {
  static const std::array<int, kBytes> bytes = make_bytes();
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if (c.value >= kBytes || bytes[c.value] < 0) return std::nullopt;
    out += static_cast<char>(bytes[c.value]);
    at += c.bytes;
  }
  return out;
}

}  // namespace trireme
