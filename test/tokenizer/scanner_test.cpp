// SPDX-License-Identifier: Apache-2.0
// Scanners beside their patterns on PCRE2, on strings of what the patterns tell apart.
#include "../../src/tokenizer/scanner.hpp"

#include <random>

#include <boost/test/unit_test.hpp>

#include "../../src/tokenizer/unicode.hpp"
#include "../../src/tokenizer/utf8.hpp"
#include "../support/error_of.hpp"

using namespace trireme;

namespace {

std::vector<std::size_t> scanned(const Scanner& scanner, const std::string& text) {
  std::vector<std::size_t> ends;
  std::array<std::size_t, 3> some{};
  for (std::size_t at = 0; at < text.size(); at = ends.back()) {
    const std::size_t n = scanner.scan(text, at, some);
    BOOST_REQUIRE(n > 0U);
    ends.insert(ends.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(n));
  }
  return ends;
}

std::vector<std::size_t> matched(const Pattern& pattern, const std::string& text) {
  std::vector<std::size_t> ends;
  for (std::size_t at = 0; at < text.size(); at = ends.back()) {
    const auto match = pattern.find(text, at);
    BOOST_REQUIRE(match.has_value());
    BOOST_REQUIRE(match->begin == at);  // published patterns leave nothing out
    ends.push_back(match->end);
  }
  return ends;
}

std::string random_text(std::mt19937& random) {
  static const std::vector<std::string> kParts = {
      " ", " ", "\n", "\r",     "\t",     "\u00a0", "\u2028", "\u0085",  "\u180e", "a",
      "b", "Z", "É",  "ß",      "中",     "ǅ",      "ʰ",      "\u0301",  "\u0903", "1",
      "٣", "½", "'",  "'s",     "'S",     "'ll",    "'RE",    "'\u017f", "\u017f", "!",
      "/", "_", "😀",  "\u200d", "\ue000", "\u0378", "s",      "T",       "ve"};
  static const std::vector<std::string> kWords = {"letters", "abcdefgh", "ABCDEFGH",
                                                  "Abcdefghijklmnop", "abcdEfghij"};
  std::string text;
  const std::size_t parts = 1 + random() % 10;
  for (std::size_t i = 0; i < parts; ++i) {
    if (random() % 16 == 0) text += kWords[random() % kWords.size()];
    if (random() % 8 != 0) {
      text += kParts[random() % kParts.size()];
      continue;
    }
    const auto c =
        static_cast<char32_t>(random() % 2 == 0 ? random() % 0x3000 : random() % kCodePoints);
    if (c < 0xd800 || c > 0xdfff) append_utf8(text, c);
  }
  return text.empty() ? "x" : text;
}

void compare(std::string_view expression, Flavour flavour, unsigned seed) {
  const auto scanner = make_scanner(expression, flavour);
  BOOST_REQUIRE(scanner != nullptr);
  const Pattern pattern(std::string(expression), flavour, "test");
  std::mt19937 random(seed);
  int wrong = 0;
  for (int i = 0; i < 5000 && wrong < 5; ++i) {
    const std::string text = random_text(random);
    if (scanned(*scanner, text) == matched(pattern, text)) continue;
    ++wrong;
    BOOST_TEST_MESSAGE("differs: \"" << text << "\"");
  }
  BOOST_TEST(wrong == 0, "pattern " << expression);
}

/// Words left and right of where `scanner` says that they are separate.
void check_separations(std::string_view expression, unsigned seed) {
  const auto scanner = make_scanner(expression, Flavour::rust);
  std::mt19937 random(seed);
  std::size_t places = 0;
  for (int i = 0; i < 800; ++i) {
    const std::string text = random_text(random) + random_text(random);
    const auto whole = scanned(*scanner, text);
    for (std::size_t at = code_point_at(text, 0).bytes; at < text.size();
         at += code_point_at(text, at).bytes) {
      if (!scanner->separates(code_point_before(text, at).value,
                              code_point_at(text, at).value)) {
        continue;
      }
      ++places;
      auto ends = scanned(*scanner, text.substr(0, at));
      for (const std::size_t end : scanned(*scanner, text.substr(at))) ends.push_back(at + end);
      BOOST_REQUIRE_MESSAGE(ends == whole, "\"" << text << "\" at " << at);
    }
  }
  BOOST_TEST(places > 100U);
}

}  // namespace

BOOST_AUTO_TEST_CASE(scanners_find_what_their_patterns_match) {
  compare(kGpt2Pattern, Flavour::oniguruma, 1);
  compare(kCl100kPattern, Flavour::oniguruma, 2);
  compare(kQwenPattern, Flavour::oniguruma, 3);
  compare(kO200kPattern, Flavour::rust, 4);
  compare(kTekkenPattern, Flavour::rust, 5);
  compare(kTiktokenR50kPattern, Flavour::rust, 6);
  compare(kTiktokenCl100kPattern, Flavour::rust, 7);
}

BOOST_AUTO_TEST_CASE(texts_separate_where_scanners_say) {
  unsigned seed = 8;
  for (const auto pattern : {kGpt2Pattern, kCl100kPattern, kQwenPattern, kO200kPattern,
                             kTekkenPattern, kTiktokenR50kPattern, kTiktokenCl100kPattern}) {
    check_separations(pattern, seed++);
  }
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_utf8_are_symbols) {
  const auto scanner = make_scanner(kCl100kPattern, Flavour::rust);
  const std::string text("a\xff\xe4\xb8!b\xc3", 7);
  BOOST_TEST(scanned(*scanner, text) == (std::vector<std::size_t>{1, 5, 6, 7}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(patterns_have_classes_of_unicode_16) {
  const Pattern letters("\\p{L}+", Flavour::rust, "test");
  // U+1C89 is a letter since Unicode 16, which no installed PCRE2 needs to know.
  const auto match = letters.find("-\u1c89a-", 0);
  BOOST_REQUIRE(match.has_value());
  BOOST_TEST(match->begin == 1U);
  BOOST_TEST(match->end == 5U);
  // U+180E is white space for PCRE2, but not for Unicode.
  BOOST_TEST(!Pattern("\\s", Flavour::rust, "test").find("\u180e", 0).has_value());
  BOOST_TEST(Pattern("[^\\S\\n]", Flavour::rust, "test").find("\n\u3000", 0)->begin == 1U);
  BOOST_TEST(!Pattern("a$", Flavour::rust, "test").find("a\n", 0).has_value());
  BOOST_TEST(Pattern("a$", Flavour::oniguruma, "test").find("a\nb", 0).has_value());
}

BOOST_AUTO_TEST_CASE(what_libraries_read_in_different_ways_is_refused) {
  const auto refused = [](const char* expression) {
    return test::error_of([&] { const Pattern p(expression, Flavour::oniguruma, "x.json"); });
  };
  for (const char* const expression :
       {"\\h", "a{1,3}+", "[a[b]]", "[a&&b]", "[[:alpha:]]", "(", "\\p{L", "(?m:a)"}) {
    TRM_TEST_MENTIONS(refused(expression), "x.json: the regular expression");
  }
  BOOST_CHECK_NO_THROW(Pattern("\\p{L}+|[^]]", Flavour::oniguruma, "x.json"));
}
