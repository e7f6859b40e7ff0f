// SPDX-License-Identifier: Apache-2.0
// The visible characters that stand for bytes in byte-level vocabularies.
#include "byte_alphabet.hpp"

#include <array>

#include "utf8.hpp"

namespace trireme {

namespace {

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<int, 324> bytes;  // of the code points from 0 on; −1: none

  Alphabet() {
    bytes.fill(-1);
    char32_t spare = 256;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool visible = (byte >= 0x21 && byte <= 0x7e) ||
                           (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      const char32_t c = visible ? byte : spare++;
      append_utf8(characters[byte], c);
      bytes[c] = static_cast<int>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet made;
  return made;
}

}  // namespace

std::string_view byte_character(unsigned char byte) { return alphabet().characters[byte]; }

std::optional<char> byte_of_character(char32_t c) {
  const auto& bytes = alphabet().bytes;
  if (c >= bytes.size() || bytes[c] < 0) return std::nullopt;
  return static_cast<char>(bytes[c]);
}

}  // namespace trireme
