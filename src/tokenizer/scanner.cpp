// SPDX-License-Identifier: Apache-2.0
// Scanners for the published patterns. Each branch names the alternative that it stands for.
#include "scanner.hpp"

#include <algorithm>

#include "ascii_letters.hpp"
#include "scanner_classes.hpp"

namespace trireme {

namespace {

/// How published patterns differ.
struct Rules {
  bool case_matters = true;  ///< in 's and its like
  bool joins_any = false;    ///< any symbol or space goes with the letters behind it
  bool by_case = false;      ///< words end before upper case, as o200k's do
  bool ends_words = false;   ///< 's and its like belong to the word before them
  bool has_contractions = true;
  std::size_t digits = 0;        ///< at most so many make a word; 0: a space and all digits do
  bool newlines_follow = false;  ///< newlines belong to the symbols before them
  bool slashes_follow = false;   ///< and so do slashes
  bool newlines_end = false;     ///< white space ends behind its last newline
  bool last_is_whole = false;    ///< white space at the end of the text is one word
};

constexpr unsigned kNoPrefix = kLetters | bit(Class::number) | bit(Class::newline);
constexpr unsigned kSymbols = bit(Class::mark) | bit(Class::other);
constexpr unsigned kUpper = bit(Class::upper) | bit(Class::letter) | bit(Class::mark);
constexpr unsigned kLower = bit(Class::lower) | bit(Class::letter) | bit(Class::mark);

template <Rules R>
class Scan {
 public:
  explicit Scan(std::string_view text)
      : end_(text.data() + text.size()), classes_(ClassTable::get()) {}

  /// Where the word that begins at `at` ends.
  [[nodiscard]] const char* next(const char* at) const {
    if (const char* end = plain_word(at); end != nullptr) return end;
    const ClassTable::Item first = classes_.at(at, end_);
    const char* const behind = at + first.bytes;
    if (R.has_contractions && !R.ends_words && *at == '\'') {
      if (const char* end = contraction(at); end != at) return end;
    }
    if (const char* end = word(at, first, behind); end != nullptr) return end;
    if (R.digits > 0 && first.kind == Class::number) return digits(behind);
    const char* const body = *at == ' ' ? behind : at;
    if (body < end_) {
      const Class kind = body == at ? first.kind : classes_.at(body, end_).kind;
      if (R.digits == 0 && kind == Class::number) {
        return classes_.run(body, end_, bit(Class::number));
      }
      if (in(kind, kSymbols)) return symbols(body);
    }
    return spaces(at);
  }

 private:
  /// What word() finds where it consists of ASCII and ASCII follows; else null.
  [[nodiscard]] const char* plain_word(const char* at) const {
    if (!AsciiLetters::kWorks || end_ - at <= AsciiLetters::kBytes) return nullptr;
    const auto byte = static_cast<unsigned char>(*at);
    if (byte >= 0x80) return nullptr;
    if (!in(classes_.of(byte), kLetters)) {
      const bool is_prefix = R.joins_any ? !in(classes_.of(byte), kNoPrefix) : byte == ' ';
      if (!is_prefix || (R.has_contractions && !R.ends_words && byte == '\'')) return nullptr;
      ++at;
    }
    const AsciiLetters ahead(at);
    std::size_t size = R.by_case ? ahead.upper() : ahead.letters();
    if constexpr (R.by_case) {
      if (size == AsciiLetters::kBytes) return nullptr;
      size += ahead.lower_from(size);
    }
    for (std::size_t more = size; more == AsciiLetters::kBytes; size += more) {
      if (end_ - (at + size) <= AsciiLetters::kBytes) return nullptr;
      const AsciiLetters next(at + size);
      more = R.by_case ? next.lower_from(0) : next.letters();
    }
    if (size == 0) return nullptr;
    const char* const end = at + size;
    return static_cast<unsigned char>(*end) < 0x80 ? with_suffix(end) : nullptr;
  }

  /// [^\r\n\p{L}\p{N}]?\p{L}+ or  ?\p{L}+ or o200k's two alternatives; null if none matches.
  [[nodiscard]] const char* word(const char* at, ClassTable::Item first,
                                 const char* behind) const {
    const bool is_prefix = R.joins_any ? !in(first.kind, kNoPrefix) : *at == ' ';
    if constexpr (R.by_case) {
      if (is_prefix) {
        if (const char* end = lower_word(behind); end != nullptr) return with_suffix(end);
      }
      if (in(first.kind, kUpper | kLower)) {
        if (const char* end = lower_word(at); end != nullptr) return with_suffix(end);
      }
      const char* const body = is_prefix ? behind : at;
      const char* const end = classes_.run(body, end_, kUpper);
      return end == body ? nullptr : with_suffix(end);
    } else {
      if (in(first.kind, kLetters)) return classes_.run(behind, end_, kLetters);
      if (!is_prefix || behind == end_) return nullptr;
      const char* const end = classes_.run(behind, end_, kLetters);
      return end == behind ? nullptr : end;
    }
  }

  /// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+, or null. If no lower case
  /// follows the first run, the run gives characters back down to its last without case.
  [[nodiscard]] const char* lower_word(const char* from) const {
    const char* caseless = nullptr;  // behind the last character without case
    const char* at = from;
    while (at < end_) {
      const ClassTable::Item item = classes_.at(at, end_);
      if (!in(item.kind, kUpper)) {
        if (item.kind == Class::lower) return classes_.run(at, end_, kLower);
        break;
      }
      at += item.bytes;
      if (item.kind != Class::upper) caseless = at;
    }
    return caseless;
  }

  [[nodiscard]] const char* with_suffix(const char* at) const {
    return R.ends_words && R.has_contractions && at < end_ && *at == '\'' ? contraction(at)
                                                                          : at;
  }

  /// Behind 's, 't, 're, 've, 'm, 'll or 'd at `at`, or `at` itself.
  [[nodiscard]] const char* contraction(const char* at) const {
    const auto letter = [&](std::ptrdiff_t i) -> char {
      if (at + i >= end_) return '\0';
      const char c = at[i];
      return !R.case_matters && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char a = letter(1);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
    const char b = letter(2);
    if ((b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l')) return at + 3;
    // U+017F, the long s, is an s whose case does not matter.
    if (!R.case_matters && a == '\xc5' && b == '\xbf') return at + 3;
    return at;
  }

  /// \p{N}{1,3}, behind the first digit.
  [[nodiscard]] const char* digits(const char* at) const {
    for (std::size_t n = 1; n < R.digits && at < end_; ++n) {
      const ClassTable::Item item = classes_.at(at, end_);
      if (item.kind != Class::number) break;
      at += item.bytes;
    }
    return at;
  }

  /// [^\s\p{L}\p{N}]+[\r\n/]*
  [[nodiscard]] const char* symbols(const char* at) const {
    at = classes_.run(at, end_, kSymbols);
    if constexpr (R.newlines_follow) {
      while (at < end_ && (*at == '\r' || *at == '\n' || (R.slashes_follow && *at == '/'))) {
        ++at;
      }
    }
    return at;
  }

  /// \s*[\r\n]+|\s+(?!\S)|\s+
  [[nodiscard]] const char* spaces(const char* from) const {
    const char* last = from;  // where the last character begins
    const char* behind_newline = nullptr;
    const char* at = from;
    while (at < end_) {
      const ClassTable::Item item = classes_.at(at, end_);
      if (!in(item.kind, kSpaces)) break;
      last = at;
      at += item.bytes;
      if (item.kind == Class::newline) behind_newline = at;
    }
    if (R.last_is_whole && at == end_) return at;
    if (R.newlines_end && behind_newline != nullptr) return behind_newline;
    return at == end_ || last == from ? at : last;
  }

  const char* end_;
  const ClassTable& classes_;
};

template <Rules R>
class RuleScanner : public Scanner {
 public:
  [[nodiscard]] std::size_t scan(std::string_view text, std::size_t from,
                                 std::span<std::size_t> ends) const override {
    const Scan<R> words(text);
    const char* const begin = text.data();
    const char* at = begin + from;
    std::size_t n = 0;
    for (; n < ends.size() && at < begin + text.size(); ++n) {
      at = words.next(at);
      ends[n] = static_cast<std::size_t>(at - begin);
    }
    return n;
  }

  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    const Class left = ClassTable::get().of(before);
    const Class right = ClassTable::get().of(after);
    // No word holds a letter or a digit, and then white space.
    if (in(left, kLetters | bit(Class::number))) return in(right, kSpaces);
    if (!R.newlines_end) return in(left, kSymbols) && in(right, kSpaces);
    // Every newline ends a word unless white space, or a slash behind symbols, follows.
    return left == Class::newline && !in(right, kSpaces) && !(R.slashes_follow && after == '/');
  }
};

constexpr Rules kGpt2{};
constexpr Rules kTiktokenR50k{.last_is_whole = true};
constexpr Rules kCl100k{.case_matters = false,
                        .joins_any = true,
                        .digits = 3,
                        .newlines_follow = true,
                        .newlines_end = true};
constexpr Rules kTiktokenCl100k{.case_matters = false,
                                .joins_any = true,
                                .digits = 3,
                                .newlines_follow = true,
                                .newlines_end = true,
                                .last_is_whole = true};
constexpr Rules kQwen{.case_matters = false,
                      .joins_any = true,
                      .digits = 1,
                      .newlines_follow = true,
                      .newlines_end = true};
constexpr Rules kO200k{.case_matters = false,
                       .joins_any = true,
                       .by_case = true,
                       .ends_words = true,
                       .digits = 3,
                       .newlines_follow = true,
                       .slashes_follow = true,
                       .newlines_end = true};
constexpr Rules kTekken{.joins_any = true,
                        .by_case = true,
                        .ends_words = true,
                        .has_contractions = false,
                        .digits = 1,
                        .newlines_follow = true,
                        .slashes_follow = true,
                        .newlines_end = true};

}  // namespace

std::unique_ptr<Scanner> make_scanner(std::string_view expression, Flavour flavour) {
  if (expression == kGpt2Pattern) return std::make_unique<RuleScanner<kGpt2>>();
  if (expression == kCl100kPattern) return std::make_unique<RuleScanner<kCl100k>>();
  if (expression == kQwenPattern) return std::make_unique<RuleScanner<kQwen>>();
  if (expression == kO200kPattern) return std::make_unique<RuleScanner<kO200k>>();
  if (expression == kTekkenPattern) return std::make_unique<RuleScanner<kTekken>>();
  if (flavour == Flavour::oniguruma) return nullptr;  // $ and }+ have other meanings there
  if (expression == kTiktokenR50kPattern) return std::make_unique<RuleScanner<kTiktokenR50k>>();
  if (expression == kTiktokenCl100kPattern) {
    return std::make_unique<RuleScanner<kTiktokenCl100k>>();
  }
  return nullptr;
}

}  // namespace trireme
