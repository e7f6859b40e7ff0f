// SPDX-License-Identifier: Apache-2.0
// Draws from known logits, against the plain definition of each option.
#include "trireme/inference/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <vector>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;

const std::vector<float> kLogits{1.0F, -2.0F, 3.0F, 0.5F, 3.0F, -0.5F, 2.0F, 0.0F};

std::vector<double> softmax(std::vector<double> x) {
  const double max = *std::ranges::max_element(x);
  double sum = 0;
  for (double& e : x) sum += e = std::exp(e - max);
  for (double& e : x) e /= sum;
  return x;
}

/// The distribution by definition: all tokens in order of probability, one rule after another.
std::vector<double> by_definition(const Sampling& s) {
  std::vector<double> logits(kLogits.begin(), kLogits.end());
  for (double& x : logits) x /= s.temperature > 0 ? s.temperature : 1;
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t i) { return logits[i]; });
  const auto remove = [&](std::size_t i) { logits[i] = -HUGE_VAL; };
  if (s.top_k > 0) {
    const double last = logits[order[static_cast<std::size_t>(s.top_k) - 1]];
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] < last) remove(i);
    }
  }
  if (s.top_p > 0) {
    const auto p = softmax(logits);
    double before = 0;
    for (const std::size_t i : order) {
      if (before >= s.top_p) remove(i);
      before += p[i];
    }
  }
  if (s.min_p > 0) {
    const auto p = softmax(logits);
    const double max = *std::ranges::max_element(p);
    for (std::size_t i = 0; i < p.size(); ++i) {
      if (p[i] < s.min_p * max) remove(i);
    }
  }
  return softmax(logits);
}

const std::vector<Sampling> kSamplings{{.temperature = 1},
                                       {.temperature = 0.5},
                                       {.temperature = 3},
                                       {.top_k = 1},
                                       {.top_k = 3},
                                       {.top_p = 0.3},
                                       {.top_p = 0.9},
                                       {.min_p = 0.3},
                                       {.temperature = 2, .top_k = 5, .top_p = 0.8},
                                       {.temperature = 2, .top_k = 6, .min_p = 0.2}};

}  // namespace

BOOST_DATA_TEST_CASE(draws_follow_the_distribution, bdata::xrange(kSamplings.size()), number) {
  const Sampling& sampling = kSamplings[number];
  const auto expected = by_definition(sampling);
  // Every quantile once: shares are then exact to one part of the number of draws.
  constexpr int kDraws = 20000;
  std::vector<int> counts(kLogits.size());
  for (int i = 0; i < kDraws; ++i) {
    ++counts[static_cast<std::size_t>(
        choose_token(kLogits, sampling, {}, (i + 0.5) / kDraws).id)];
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    BOOST_TEST(std::abs(counts[i] - expected[i] * kDraws) < 1.01, "token " << i);
    if (expected[i] == 0) BOOST_TEST(counts[i] == 0);
  }
}

BOOST_AUTO_TEST_CASE(a_large_vocabulary_keeps_its_nucleus) {
  std::vector<float> logits(5000);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[i] = -0.001F * static_cast<float>((i * 7919) % logits.size());
  }
  std::map<std::int32_t, int> seen;
  for (int i = 0; i < 2000; ++i) {
    ++seen[choose_token(logits, {.top_p = 0.5}, {}, (i + 0.5) / 2000).id];
  }
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  double kept = 0;
  std::int64_t count = 0;
  while (kept < 0.5 * sum) kept += std::exp(-0.001 * static_cast<double>(count++));
  BOOST_TEST(count > 256);
  for (const auto& [id, times] : seen) {
    BOOST_TEST(logits[static_cast<std::size_t>(id)] > -0.001F * static_cast<float>(count));
  }
  BOOST_TEST(static_cast<double>(seen.size()) > 0.8 * static_cast<double>(count));
}

BOOST_AUTO_TEST_CASE(without_chance_the_first_greatest_logit_wins) {
  BOOST_TEST(choose_token(kLogits, {}, {}, 0.99).id == 2);
  const std::vector<std::int32_t> earlier{2, 2, 1};
  BOOST_TEST(choose_token(kLogits, {.repetition_penalty = 1.5}, earlier, 0.5).id == 4);
  // Negative logits are multiplied: 1 falls from −2 to −3.
  const std::vector<float> negative{-2.5F, -2.0F};
  const std::vector<std::int32_t> one{1};
  BOOST_TEST(choose_token(negative, {.repetition_penalty = 1.5}, one, 0.5).id == 0);
}

BOOST_AUTO_TEST_CASE(log_probabilities_are_those_of_the_model) {
  const auto p = by_definition({.temperature = 1});
  const Sampling sampling{
      .temperature = 0.1, .top_k = 1, .repetition_penalty = 3, .log_probabilities = true};
  const std::vector<std::int32_t> earlier{2, 4};
  const ChosenToken chosen = choose_token(kLogits, sampling, earlier, 0.5);
  BOOST_TEST(chosen.id == 6);
  BOOST_TEST(std::abs(chosen.log_probability - std::log(p[6])) < 1e-6);
}

BOOST_AUTO_TEST_CASE(draws_are_uniform_and_depend_on_each_number) {
  const DrawKey key{.seed = 1, .prompt = 2, .sample = 3, .position = 4};
  BOOST_TEST(draw(key) == draw(key));
  for (const DrawKey& other :
       {DrawKey{2, 2, 3, 4}, DrawKey{1, 3, 3, 4}, DrawKey{1, 2, 4, 4}, DrawKey{1, 2, 3, 5}}) {
    BOOST_TEST(draw(key) != draw(other));
  }
  double sum = 0;
  double squares = 0;
  for (std::uint32_t i = 0; i < 10000; ++i) {
    const double u = draw({.seed = 7, .prompt = 0, .sample = i, .position = 0});
    BOOST_REQUIRE(u > 0);
    BOOST_REQUIRE(u < 1);
    sum += u;
    squares += u * u;
  }
  BOOST_TEST(std::abs(sum / 10000 - 0.5) < 0.01);
  BOOST_TEST(std::abs(squares / 10000 - 1.0 / 3) < 0.01);
}
