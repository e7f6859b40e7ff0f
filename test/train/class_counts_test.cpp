// SPDX-License-Identifier: Apache-2.0
// Scores of a classifier, counted by hand.
#include "trireme/train/class_counts.hpp"

#include <array>

#include <boost/test/unit_test.hpp>

using namespace trireme;

BOOST_AUTO_TEST_SUITE(class_counts)

BOOST_AUTO_TEST_CASE(scores_of_three_classes) {
  ClassCounts counts(3);
  const auto add = [&](std::array<float, 3> logits, std::int32_t target) {
    counts.add(logits, target);
  };
  add({2, 1, 0}, 0);
  add({0, 2, 1}, 0);
  add({0, 2, 1}, 1);
  add({1, 1, 0}, 1);   // the first of equal ones is given
  add({0, 0, 5}, -1);  // does not count
  const ClassScores scores = counts.scores();
  BOOST_TEST(scores.accuracy == 0.5);
  BOOST_TEST(scores.top5 < 0);
  BOOST_TEST(scores.macro_f1 == 0.5);  // (1/2 + 1/2) / 2: the third class does not occur
  const std::vector<std::int64_t> expected{1, 1, 0, 1, 1, 0, 0, 0, 0};
  BOOST_TEST(scores.confusion == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_five_likeliest) {
  ClassCounts counts(7);
  const std::array<float, 7> logits{6, 5, 4, 3, 2, 1, 0};
  for (std::int32_t target = 0; target < 7; ++target) counts.add(logits, target);
  BOOST_TEST(counts.scores().top5 == 5.0 / 7);
  BOOST_TEST(counts.scores().accuracy == 1.0 / 7);
}

BOOST_AUTO_TEST_CASE(many_classes_have_no_matrix) {
  ClassCounts counts(kMostMatrixClasses + 1);
  counts.add(std::vector<float>(kMostMatrixClasses + 1), 0);
  BOOST_TEST(counts.scores().accuracy == 1);
  BOOST_TEST(counts.scores().confusion.empty());
}

BOOST_AUTO_TEST_SUITE_END()
