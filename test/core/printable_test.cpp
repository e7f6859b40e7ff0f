// SPDX-License-Identifier: Apache-2.0
// Foreign text never acts on a terminal.
#include "trireme/core/printable.hpp"

#include <random>

#include <boost/test/unit_test.hpp>

using namespace trireme;

BOOST_AUTO_TEST_CASE(text_stays_and_controls_are_escaped) {
  BOOST_TEST(printable("plain é 日本 😀 \\") == "plain é 日本 😀 \\");
  BOOST_TEST(printable("a\x1b[31mb\nc\td\r") == "a\\x1b[31mb\\nc\\td\\r");
  BOOST_TEST(printable(std::string_view("\0\x7f", 2)) == "\\x00\\x7f");
  BOOST_TEST(printable("\xc2\x9b"
                       "31m") == "\\x9b31m");  // a terminal's one-byte escape, as UTF-8
  BOOST_TEST(printable("\xe2\x80\xae"
                       "abc") == "\\u202eabc");
  BOOST_TEST(printable("\xff\xc0\x80\xed\xa0\x80") == "\\xff\\xc0\\x80\\xed\\xa0\\x80");
  BOOST_TEST(printable("\xe2\x82") == "\\xe2\\x82");  // begins a character that doesn't end
}

BOOST_AUTO_TEST_CASE(indented_lines_stay_lines) {
  BOOST_TEST(printable_lines("a\n  b\nc\n d") == "a\n  b\\nc\\n d");
}

BOOST_AUTO_TEST_CASE(long_texts_end_at_a_character) {
  BOOST_TEST(shortened("abc", 3) == "abc");
  BOOST_TEST(shortened("abcd", 3) == "abc...");
  BOOST_TEST(shortened("aé", 2) == "a...");
  BOOST_TEST(shortened("\n\n", 1) == "\\n...");
}

BOOST_AUTO_TEST_CASE(any_bytes_become_text_without_controls) {
  std::mt19937 random(5);
  for (int trial = 0; trial < 200; ++trial) {
    std::string text(random() % 50, '\0');
    for (char& c : text) c = static_cast<char>(random() % 256);
    for (const char c : printable(text)) {
      BOOST_TEST(static_cast<unsigned char>(c) >= 0x20);
      BOOST_TEST(c != '\x7f');
    }
    BOOST_TEST(printable(printable(text)) == printable(text));
  }
}
