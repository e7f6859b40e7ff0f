// SPDX-License-Identifier: Apache-2.0
// Settings that belong to another optimizer than the deck chooses.
#include <boost/test/unit_test.hpp>
#include <fmt/ranges.h>

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

BOOST_AUTO_TEST_SUITE(optimizer_keys)

BOOST_AUTO_TEST_CASE(settings_of_the_other_optimizer_are_named) {
  const auto read = [](const std::string& line) {
    try {
      return fmt::format(
          "{}", fmt::join(parse_deck(kLeast + "optimizer: " + line, "x").warnings, "; "));
    } catch (const Error& e) {
      return std::string(e.what());
    }
  };
  CHECK_CONTAINS(read("{type: Adam, params: {lr: 1e-3, momentum: 0.9}}"),
                 "optimizer.params.momentum means something for SGD");
  CHECK_CONTAINS(read("{type: SGD, params: {lr: 1e-3, betas: [0.9, 0.95]}}"),
                 "optimizer.params.betas means something for AdamW");
  BOOST_CHECK_EQUAL(read("{type: SGD, params: {lr: 1e-3, momentum: 0.9}}"), "");
  BOOST_CHECK_EQUAL(read("{type: SGD, params: {lr: 1e-3, betas: [0.9, 0.999]}}"), "");
}

BOOST_AUTO_TEST_CASE(a_stored_deck_may_have_settings_of_another_optimizer) {
  const std::string text =
      kLeast + "optimizer: {type: SGD, params: {lr: 1e-3, betas: [0.9, 0.95], eps: 1e-6}}\n";
  BOOST_CHECK_THROW(parse_deck(text, "x.yml"), Error);
  const Deck stored = parse_stored_deck(text, "its deck");
  BOOST_CHECK(stored.optimizer.kind == OptimizerKind::sgd);
  BOOST_CHECK_EQUAL(stored.optimizer.beta2, OptimizerConfig().beta2);
  BOOST_CHECK(parse_deck(to_yaml(stored), "again.yml") == stored);
}

BOOST_AUTO_TEST_SUITE_END()
