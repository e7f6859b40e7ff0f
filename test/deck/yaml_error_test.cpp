// SPDX-License-Identifier: Apache-2.0
// Broken YAML: the line that a person would mend, with a caret.
#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"
#include "trireme/deck/deck.hpp"

#include "../support/error_of.hpp"

using namespace trireme;

namespace {

std::string error(const std::string& text) {
  return test::error_of([&] { (void)parse_deck(text, "x.yml"); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(yaml_errors)

BOOST_AUTO_TEST_CASE(the_line_that_is_wrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"a: 1\nhidden_size 64\nb: 2\n", "x.yml:2:1: YAML error: a colon is missing"},
      {"a: 1\nhidden_size 64\n\n# note\nb: 2\n", "x.yml:2:1: YAML error: a colon is missing"},
      {"a: 1\nbetas: [0.9, 0.95\nb: 2\nc: 3\n",
       "x.yml:2:8: YAML error: this [ is never closed"},
      {"a: 1\no: {t: A, p: {l: 1}\nb: 2\n", "x.yml:2:4: YAML error: this { is never closed"},
      {"a: 1\nsave: \"runs/x\nb: 2\n",
       "x.yml:2:7: YAML error: the quote that opens here never"},
      {"a: 1\nsplit: \"97, 2, 1\nsave: \"runs/x\"\nb: 2\n",
       "x.yml:2:8: YAML error: the quote that opens here closes only in line 3"},
      {"a: 1\n  b: 2\nc: 3\n", "x.yml:2:3: YAML error: this line is indented, but line 1"},
      {"a: 1\no:\n\tb: 2\n", "x.yml:3:1: YAML error: a tab cannot indent"},
      {"{\"a\": 1\n \"b\": 2,\n\"c\": 3}\n", "x.yml:1:8: YAML error: a comma is missing"},
      {"a: 1\nlr: [1,\n  2: 3}\n",
       "x.yml:3:7: YAML error: this bracket does not fit the [ that line 2"},
      {"a: 1\nb: @y\n", "x.yml:2:4: YAML error: "},
  };
  for (const auto& [text, expected] : cases) TRM_TEST_MENTIONS(error(text), expected);
}

BOOST_AUTO_TEST_CASE(the_line_is_shown_with_a_caret) {
  const std::string shown = error("a: 1\nbetas: [0.9, 0.95\nb: 2\n");
  BOOST_TEST(shown.ends_with("\n  betas: [0.9, 0.95\n         ^"), shown);
  const std::string wide = error("a: 1\né: [ü\nb: 2\n");
  BOOST_TEST(wide.ends_with("\n  é: [ü\n     ^"), wide);
  const std::string longer = error("a: 1\nkey: " + std::string(500, 'x') + " [\nb: @\n");
  BOOST_TEST(longer.find("\n  b: @\n     ^") != std::string::npos, longer);
}

BOOST_AUTO_TEST_CASE(quotes_and_brackets_within_words_are_text) {
  for (const char* text : {"save: it's\nload: [a, 'b''c', \"d\\\"e\"]\n", "save: a[1\n",
                           "# \"open\nsave: x # 'open\n"}) {
    BOOST_TEST(error(text).find("YAML error") == std::string::npos, error(text));
  }
}

BOOST_AUTO_TEST_SUITE_END()
