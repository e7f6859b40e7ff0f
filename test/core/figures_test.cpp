// SPDX-License-Identifier: Apache-2.0
// Figures as people read them.
#include "trireme/core/figures.hpp"

#include <boost/test/unit_test.hpp>

using namespace trireme;

BOOST_AUTO_TEST_CASE(digits_stand_in_groups) {
  BOOST_TEST(grouped(0) == "0");
  BOOST_TEST(grouped(999) == "999");
  BOOST_TEST(grouped(1000) == "1,000");
  BOOST_TEST(grouped(23'239'512'000) == "23,239,512,000");
  BOOST_TEST(grouped(-1234) == "-1,234");
  BOOST_TEST(grouped(-123) == "-123");
}

BOOST_AUTO_TEST_CASE(counts_have_words) {
  BOOST_TEST(count_text(174'604'000'000) == "174.6 billion");
  BOOST_TEST(count_text(1'424'000'000) == "1.42 billion");
  BOOST_TEST(count_text(3'290'000) == "3.29 million");
  BOOST_TEST(count_text(999'600'000) == "1.00 billion");
  BOOST_TEST(count_text(2'000'000'000'000) == "2.00 trillion");
  BOOST_TEST(count_text(65'536) == "65,536");
}

BOOST_AUTO_TEST_CASE(sizes_have_units) {
  BOOST_TEST(decimal_size(1'423'858'700'000) == "1.42 TB");
  BOOST_TEST(decimal_size(140'600'000) == "140.6 MB");
  BOOST_TEST(decimal_size(999) == "999 bytes");
}
