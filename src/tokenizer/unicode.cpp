// SPDX-License-Identifier: Apache-2.0
// Properties of code points.
#include "unicode.hpp"

#include <map>
#include <string_view>

#include "trireme/core/error.hpp"

#include "unicode_runs.hpp"

namespace trireme {

namespace {

/// Each run is a letter for its category, A to Z and a to d, and its length in decimal digits
/// unless that is 1.
std::vector<CategoryRun> decode_runs() {
  std::vector<CategoryRun> runs;
  char32_t at = 0;
  for (std::size_t i = 0; i < kUnicodeRuns.size();) {
    const char letter = kUnicodeRuns[i++];
    const int number = letter >= 'a' ? letter - 'a' + 26 : letter - 'A';
    char32_t length = 0;
    for (; i < kUnicodeRuns.size() && kUnicodeRuns[i] <= '9'; ++i) {
      length = length * 10 + static_cast<char32_t>(kUnicodeRuns[i] - '0');
    }
    runs.push_back({at, static_cast<Category>(number)});
    at += length == 0 ? 1 : length;
  }
  TRM_CHECK(at == kCodePoints, "the table of categories ends at {:#x}",
            static_cast<unsigned>(at));
  return runs;
}

const CodePointTable& categories() {
  static const CodePointTable table = [] {
    std::vector<std::uint8_t> values(kCodePoints);
    const std::span<const CategoryRun> runs = category_runs();
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const char32_t end = i + 1 < runs.size() ? runs[i + 1].begin : kCodePoints;
      for (char32_t c = runs[i].begin; c < end; ++c) {
        values[c] = static_cast<std::uint8_t>(runs[i].category);
      }
    }
    return CodePointTable(values);
  }();
  return table;
}

}  // namespace

CodePointTable::CodePointTable(const std::vector<std::uint8_t>& values) {
  TRM_CHECK(values.size() == kCodePoints, "{} values", values.size());
  constexpr std::size_t kBlock = kMask + 1;
  std::map<std::vector<std::uint8_t>, std::uint32_t> known;
  for (std::size_t i = 0; i < first_.size(); ++i) {
    const auto* const at = values.data() + i * kBlock;
    const auto [found, is_new] =
        known.try_emplace({at, at + kBlock}, static_cast<std::uint32_t>(blocks_.size()));
    if (is_new) blocks_.insert(blocks_.end(), at, at + kBlock);
    first_[i] = found->second;
  }
}

std::span<const CategoryRun> category_runs() {
  static const std::vector<CategoryRun> runs = decode_runs();
  return runs;
}

Category category(char32_t c) {
  return c < kCodePoints ? static_cast<Category>(categories()[c]) : Category::Cn;
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0d);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_word(char32_t c) {
  const Category k = category(c);
  if (is_letter(k) || is_mark(k) || k == Category::Nd || k == Category::Nl ||
      k == Category::Pc) {
    return true;
  }
  // joiners, and letters in circles and squares, which are symbols and yet alphabetic
  return c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) ||
         (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
         (c >= 0x1f170 && c <= 0x1f189);
}

}  // namespace trireme
