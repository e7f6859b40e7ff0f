// SPDX-License-Identifier: Apache-2.0
// Classes of code points, lower case and normal forms.
#include "characters.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <utf8proc.h>
#include <utility>
#include <vector>

#include "trireme/core/error.hpp"

#include "utf8.hpp"

namespace trireme {

namespace {

constexpr std::size_t kCount = 0x110000;
// İ is the one letter whose lower case is two code points: i and a dot above.
constexpr char32_t kCapitalDottedI = 0x130;
constexpr std::string_view kDottedI = "i\xcc\x87";
// The form C leaves text of smaller code points as it is.
constexpr char32_t kFirstCombining = 0x300;

// One value for each code point.
std::vector<std::uint16_t> make_bits() {
  std::vector<std::uint16_t> bits(kCount);
  const auto mark = [&](CharClass which, std::span<const std::uint32_t> ranges) {
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < ranges.size(); i += 2) {
      at += ranges[i];
      for (const std::size_t end = at + ranges[i + 1]; at < end; ++at) {
        bits[at] = static_cast<std::uint16_t>(bits[at] | static_cast<std::uint16_t>(which));
      }
    }
  };
  mark(CharClass::white_space, character_tables::kWhiteSpace);
  mark(CharClass::numeric, character_tables::kNumeric);
  mark(CharClass::punctuation, character_tables::kPunctuation);
  mark(CharClass::other, character_tables::kOther);
  mark(CharClass::nonspacing_mark, character_tables::kNonspacingMark);
  mark(CharClass::mark, character_tables::kMark);
  mark(CharClass::word, character_tables::kWord);
  mark(CharClass::normalized, character_tables::kNormalized);
  mark(CharClass::extends, character_tables::kExtends);
  mark(CharClass::prepends, character_tables::kPrepends);
  return bits;
}

std::vector<char32_t> make_lower() {
  std::vector<char32_t> lower(kCount);
  for (char32_t c = 0; c < kCount; ++c) lower[c] = c;
  for (const auto& run : character_tables::kLowerCase) {
    for (std::uint32_t i = 0; i < run.count; ++i) {
      const char32_t c = run.first + i * run.step;
      lower[c] = c + run.distance;
    }
  }
  return lower;
}

void append_form_of_part(std::string& to, std::string_view text, NormalForm form) {
  const bool compose = form == NormalForm::nfc || form == NormalForm::nfkc;
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  const int options = UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                      (compatible ? UTF8PROC_COMPAT : 0);
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &result,
                   static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(result, &std::free);
  TRM_CHECK(size >= 0, "utf8proc: {}", utf8proc_errmsg(size));
  to.append(reinterpret_cast<const char*>(result), static_cast<std::size_t>(size));
}

// Appends the normal form of `text`, all of whose code points take part. With utf8proc, a
// Korean syllable would swallow U+11A7, which is no final consonant and never composes.
void append_normal_form(std::string& to, std::string_view text, NormalForm form) {
  constexpr std::string_view kNoFinal = "\xe1\x86\xa7";
  for (std::size_t at = text.find(kNoFinal); at != std::string_view::npos;
       at = text.find(kNoFinal)) {
    append_form_of_part(to, text.substr(0, at), form);
    to += kNoFinal;
    text.remove_prefix(at + kNoFinal.size());
  }
  append_form_of_part(to, text, form);
}

}  // namespace

CharacterBits::CharacterBits() {
  const std::vector<std::uint16_t> bits = make_bits();
  std::map<std::vector<std::uint16_t>, std::uint16_t> known;
  for (auto at = bits.begin(); at != bits.end(); at += kBlock) {
    const auto [block, is_new] = known.try_emplace(
        {at, at + kBlock}, static_cast<std::uint16_t>(blocks_.size() / kBlock));
    if (is_new) blocks_.insert(blocks_.end(), at, at + kBlock);
    block_.push_back(block->second);
  }
}

const CharacterBits& character_bits() {
  static const CharacterBits table;
  return table;
}

void append_lower_case(std::string& text, char32_t c) {
  static const std::vector<char32_t> lower = make_lower();
  if (c == kCapitalDottedI) {
    text += kDottedI;
  } else {
    append_utf8(text, lower[c]);
  }
}

// Each run of code points that take part is normalised by itself. ASCII ends a run, since only
// its last character can change, by what follows.
void normalize(std::string& text, NormalForm form) {
  const std::string_view all = text;
  std::size_t at = ascii_end(all, 0);
  if (at == all.size()) return;
  std::string result;
  result.reserve(all.size() + all.size() / 8);
  std::size_t done = 0;
  for (; at < all.size(); at = ascii_end(all, done)) {
    const std::size_t begin = at > done ? at - 1 : at;
    result += all.substr(done, begin - done);
    std::size_t end = at;
    char32_t largest = 0;
    while (end < all.size() && static_cast<unsigned char>(all[end]) >= 0x80) {
      const CodePoint c = code_point_at(all, end);
      if (!is_a(CharClass::normalized, c.value)) break;
      largest = std::max(largest, c.value);
      end += c.bytes;
    }
    if (end == at) {  // stays as it is, and lets its neighbours be
      end += code_point_at(all, at).bytes;
      result += all.substr(begin, end - begin);
    } else if (form == NormalForm::nfc && largest < kFirstCombining) {
      result += all.substr(begin, end - begin);
    } else {
      append_normal_form(result, all.substr(begin, end - begin), form);
    }
    done = end;
  }
  result += all.substr(done);
  text = std::move(result);
}

bool normal_forms_separate(char32_t before, char32_t after) {
  return (before < 0x80 && after < 0x80) || !is_a(CharClass::normalized, before) ||
         !is_a(CharClass::normalized, after);
}

// The installed utf8proc may be older than the peers: their own tables tell what joins a
// cluster, and utf8proc what ends one.
std::size_t grapheme_end(std::string_view text, std::size_t from) {
  const auto breaks = [](char32_t before, char32_t after, utf8proc_int32_t* state) {
    return utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(before),
                                            static_cast<utf8proc_int32_t>(after), state) != 0;
  };
  CodePoint last = code_point_at(text, from);
  std::size_t end = from + last.bytes;
  utf8proc_int32_t state = 0;
  while (end < text.size()) {
    const CodePoint c = code_point_at(text, end);
    const bool joined = !breaks(last.value, c.value, &state);
    const bool extends =
        is_a(CharClass::extends, c.value) && !breaks(last.value, 0x301, nullptr);
    const bool prepends =
        is_a(CharClass::prepends, last.value) && !breaks(0x600, c.value, nullptr);
    if (!joined && !extends && !prepends) break;
    end += c.bytes;
    last = c;
  }
  return end;
}

}  // namespace trireme
