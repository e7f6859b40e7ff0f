// SPDX-License-Identifier: Apache-2.0
// Classes of code points, lower case and normal forms, as Hugging Face's tokenizers know them.
// The tables there are of several versions of Unicode, and ids depend on each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// Bits of a code point.
enum class CharClass : std::uint16_t {
  white_space = 1,
  numeric = 2,
  punctuation = 4,  ///< and the symbols of ASCII
  other = 8,        ///< control, format, private use and unassigned
  nonspacing_mark = 16,
  mark = 32,
  word = 64,         ///< what \w matches
  normalized = 128,  ///< takes part in normal forms; others stay as they are
  extends = 256,     ///< joins the grapheme cluster before it
  prepends = 512,    ///< joins the grapheme cluster behind it
};

/// The bits of all code points. Blocks of equal bits are held once.
class CharacterBits {
 public:
  CharacterBits();
  [[nodiscard]] std::uint16_t operator[](char32_t c) const {
    return blocks_[block_[c / kBlock] * kBlock + c % kBlock];
  }

 private:
  static constexpr std::size_t kBlock = 128;
  std::vector<std::uint16_t> block_;
  std::vector<std::uint16_t> blocks_;
};

[[nodiscard]] const CharacterBits& character_bits();

[[nodiscard]] inline bool is_a(CharClass which, char32_t c) {
  return (character_bits()[c] & static_cast<std::uint16_t>(which)) != 0;
}

/// The end of the ASCII text at `from`, which may be empty.
[[nodiscard]] inline std::size_t ascii_end(std::string_view text, std::size_t from) {
  std::uint64_t eight = 0;
  for (; from + sizeof(eight) <= text.size(); from += sizeof(eight)) {
    std::memcpy(&eight, text.data() + from, sizeof(eight));
    if ((eight & 0x8080808080808080U) != 0) break;
  }
  while (from < text.size() && static_cast<unsigned char>(text[from]) < 0x80) ++from;
  return from;
}

/// Appends the lower case of `c`, which may be several code points.
void append_lower_case(std::string& text, char32_t c);

enum class NormalForm : std::uint8_t { nfc, nfd, nfkc, nfkd };

/// Replaces valid UTF-8 by its normal form.
void normalize(std::string& text, NormalForm form);

/// True only if normal forms of texts that end with `before` and begin with `after` can be
/// joined.
[[nodiscard]] bool normal_forms_separate(char32_t before, char32_t after);

/// The first place above `from` where a grapheme cluster ends in valid UTF-8.
[[nodiscard]] std::size_t grapheme_end(std::string_view text, std::size_t from);

/// Generated tables, in character_tables.cpp. Ranges of code points are pairs of a gap since
/// the last range and a size.
namespace character_tables {
extern const std::span<const std::uint32_t> kWhiteSpace, kNumeric, kPunctuation, kOther,
    kNonspacingMark, kMark, kWord, kNormalized, kExtends, kPrepends;
/// Runs of upper-case letters: first, how many, the step between them, and the distance of the
/// lower-case letter modulo 2³².
struct LowerCase {
  std::uint32_t first, count, step, distance;
};
extern const std::span<const LowerCase> kLowerCase;
}  // namespace character_tables

}  // namespace trireme
