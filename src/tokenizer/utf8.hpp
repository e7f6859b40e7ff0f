// SPDX-License-Identifier: Apache-2.0
// UTF-8, one code point at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace trireme {

/// A code point and the bytes that it takes.
struct CodePoint {
  char32_t value = 0;
  std::size_t bytes = 0;
};

/// The code point at `at`, which must be its first byte, in valid UTF-8.
[[nodiscard]] inline CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[at + i]));
  };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xe0) return {(lead & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (lead < 0xf0) {
    return {(lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  }
  return {
      (lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f),
      4};
}

/// The code point before `at`, which must not be 0, in valid UTF-8.
[[nodiscard]] inline CodePoint code_point_before(std::string_view text, std::size_t at) {
  std::size_t first = at - 1;
  while ((static_cast<unsigned char>(text[first]) & 0xc0) == 0x80) --first;
  return code_point_at(text, first);
}

/// Appends a code point, which must be no surrogate and at most 0x10ffff.
void append_utf8(std::string& text, char32_t value);

/// The bytes at `at` that make one valid sequence of UTF-8: 1 to 4, or 0 if they make none.
[[nodiscard]] std::size_t valid_utf8_at(std::string_view text, std::size_t at);

/// Whether all of `text` is UTF-8.
[[nodiscard]] bool is_valid_utf8(std::string_view text);

}  // namespace trireme
