// SPDX-License-Identifier: Apache-2.0
// Patterns against std::regex, which finds the same texts where it ends at all.
#include "trireme/model/name_pattern.hpp"

#include <ctime>
#include <random>
#include <regex>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"

using namespace trireme;
using test::error_of;

namespace {

bool found(const std::string& pattern, const std::string& text) {
  return NamePattern(pattern, NamePattern::Case::ignored).found_in(text);
}

}  // namespace

BOOST_AUTO_TEST_CASE(patterns_of_decks) {
  BOOST_TEST(found("transformer", "ParallelTransformerLayerPipe"));
  BOOST_TEST(found("transformer|mlp", "ParallelMLP"));
  BOOST_TEST(!found("^layer", "TransformerLayer"));
  BOOST_TEST(found("layer$", "TransformerLayer"));
  BOOST_TEST(found("", "x"));
  BOOST_TEST(found("^$", ""));
  BOOST_TEST(found("a{2,3}b", "xaab"));
  BOOST_TEST(!found("^a{2}$", "aaa"));
  BOOST_TEST(found("{a}", "{A}"));  // braces without counts stand for themselves
  BOOST_TEST(found("[^\\W_]+-\\d?\\.", "ab-."));
}

BOOST_AUTO_TEST_CASE(random_patterns_find_what_ecmascript_finds) {
  std::mt19937 random(3);
  const std::vector<std::string> atoms = {"a",   "b",      "C",     ".", "[ab]",
                                          "\\d", "(a|bc)", "(?:b)", "^", "[^a-b]"};
  const std::vector<std::string> repeats = {"", "", "*", "+", "?", "{0,2}", "*?"};
  int compared = 0;
  for (int trial = 0; trial < 5'000; ++trial) {
    std::string pattern;
    for (auto n = 1 + random() % 4; n > 0; --n) {
      if (random() % 6 == 0) pattern += '|';
      const std::string& atom = atoms[random() % atoms.size()];
      // Repeated places of no width keep std::regex busy without end.
      pattern += atom + (atom == "^" ? "" : repeats[random() % repeats.size()]);
    }
    if (random() % 4 == 0) pattern += '$';
    std::string text;
    for (auto n = random() % 6; n > 0; --n) text += "abcABC1-"[random() % 8];
    bool expected = false;
    try {
      expected = std::regex_search(text, std::regex(pattern, std::regex::icase));
    } catch (const std::regex_error&) {
      continue;
    }
    try {
      BOOST_TEST(found(pattern, text) == expected, pattern << " in " << text);
      ++compared;
    } catch (const Error&) {  // Python refuses a few patterns that ECMAScript takes
    }
  }
  BOOST_TEST(compared > 4'000);
}

BOOST_AUTO_TEST_CASE(case_matters_unless_ignored) {
  BOOST_TEST(!NamePattern("layer").found_in("Layer"));
  BOOST_TEST(NamePattern("ayer").found_in("Layer"));
  BOOST_TEST(!NamePattern("ayer").matches("Layer"));
  BOOST_TEST(NamePattern("L.*r").matches("Layer"));
}

BOOST_AUTO_TEST_CASE(time_is_linear) {
  const std::clock_t begin = std::clock();
  BOOST_TEST(!found("(.*)*Z", std::string(2000, 'a')));
  BOOST_TEST(!found("(a|a)*(a|aa)+(a+)+b$", std::string(2000, 'a')));
  BOOST_TEST(std::clock() - begin < 2 * CLOCKS_PER_SEC);
}

BOOST_AUTO_TEST_CASE(bad_patterns_say_why) {
  const auto error = [](const std::string& pattern) {
    return error_of([&] { (void)NamePattern(pattern); });
  };
  TRM_TEST_MENTIONS(error("("), "missing ): (");
  TRM_TEST_MENTIONS(error("a)"), "unexpected ): a)");
  TRM_TEST_MENTIONS(error("[a"), "missing ]: [a");
  TRM_TEST_MENTIONS(error("*a"), "no argument for repetition operator: *");
  TRM_TEST_MENTIONS(error("a**"), "bad repetition operator: **");
  TRM_TEST_MENTIONS(error("a{3,2}"), "invalid repetition size: {3,2}");
  TRM_TEST_MENTIONS(error("[z-a]"), "invalid character class range: z-a");
  TRM_TEST_MENTIONS(error("(?=a)"), "invalid perl operator: (?=");
  TRM_TEST_MENTIONS(error("\\1"), "invalid escape sequence: \\1");
  TRM_TEST_MENTIONS(error("a\\"), "trailing \\");
  TRM_TEST_MENTIONS(error("((a{99}){99}){99}"), "invalid repetition size: {99}");
  TRM_TEST_MENTIONS(error(std::string(201, 'a')), "longer than 200 bytes");
  TRM_TEST_MENTIONS(error(std::string(99, '(')), "missing ): ");
}
