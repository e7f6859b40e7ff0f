// SPDX-License-Identifier: Apache-2.0
// What lines say of evaluations, for people and as JSON.
#include "../../src/record/step_words.hpp"

#include <limits>

#include <boost/test/unit_test.hpp>

using namespace trireme;

BOOST_AUTO_TEST_SUITE(step_words)

BOOST_AUTO_TEST_CASE(evaluations) {
  const EvaluationRecord text{.iteration = 1, .loss = 0, .bits_per_byte = 2};
  BOOST_TEST(evaluation_words(text) == "perplexity 1.0000 | 2.0000 bits a byte");
  BOOST_TEST(evaluation_fields(text) == R"(, "bits_per_byte": 2)");
  EvaluationRecord images{.iteration = 1, .loss = 0};
  images.classes = ClassScores{.accuracy = 0.25, .macro_f1 = 0.5};
  BOOST_TEST(evaluation_words(images) == "accuracy 25.00 % | macro F1 0.5000");
  BOOST_TEST(evaluation_fields(images) == R"(, "accuracy": 0.25, "macro_f1": 0.5)");
  images.classes->top5 = 0.75;
  BOOST_TEST(evaluation_words(images) == "accuracy 25.00 % | top 5 75.00 % | macro F1 0.5000");
}

BOOST_AUTO_TEST_CASE(json_has_no_infinity) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  BOOST_TEST(evaluation_fields({.loss = kInfinity, .bits_per_byte = kInfinity}) ==
             R"(, "bits_per_byte": null)");
  BOOST_TEST(json_number(std::numeric_limits<double>::quiet_NaN()) == "null");
}

BOOST_AUTO_TEST_SUITE_END()
