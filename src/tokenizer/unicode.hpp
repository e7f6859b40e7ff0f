// SPDX-License-Identifier: Apache-2.0
// Properties of code points, of one version of Unicode whatever libraries are installed: that
// of the tokenizers whose ids ours must equal.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trireme {

/// General categories, named as in the Unicode standard.
// NOLINTBEGIN(readability-identifier-naming)
enum class Category : std::uint8_t {
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Mc,
  Me,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Ps,
  Pe,
  Pi,
  Pf,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Cs,
  Co,
  Cn,
};
// NOLINTEND(readability-identifier-naming)

inline constexpr char32_t kCodePoints = 0x110000;

/// One value for each code point, which neighbours mostly share.
class CodePointTable {
 public:
  /// Takes kCodePoints values.
  explicit CodePointTable(const std::vector<std::uint8_t>& values);
  [[nodiscard]] std::uint8_t operator[](char32_t c) const {
    return blocks_[static_cast<std::size_t>(first_[c >> kShift]) + (c & kMask)];
  }

 private:
  static constexpr unsigned kShift = 7;
  static constexpr char32_t kMask = (1U << kShift) - 1;
  std::array<std::uint32_t, (kCodePoints >> kShift)> first_{};
  std::vector<std::uint8_t> blocks_;
};

/// A code point from kCodePoints on has the category Cn.
[[nodiscard]] Category category(char32_t c);
/// The property White_Space, which regular expressions call \s.
[[nodiscard]] bool is_white_space(char32_t c);
/// What regular expressions call \w: letters, marks, digits, connectors and joiners.
[[nodiscard]] bool is_word(char32_t c);
[[nodiscard]] inline bool is_letter(Category k) { return k <= Category::Lo; }
[[nodiscard]] inline bool is_mark(Category k) { return k >= Category::Mn && k <= Category::Me; }
[[nodiscard]] inline bool is_number(Category k) {
  return k >= Category::Nd && k <= Category::No;
}
[[nodiscard]] inline bool is_punctuation(Category k) {
  return k >= Category::Pc && k <= Category::Po;
}
[[nodiscard]] inline bool is_symbol(Category k) {
  return k >= Category::Sm && k <= Category::So;
}

/// Where consecutive code points of one category begin, ascending, from code point 0 on.
struct CategoryRun {
  char32_t begin;
  Category category;
};
[[nodiscard]] std::span<const CategoryRun> category_runs();

}  // namespace trireme
