// SPDX-License-Identifier: Apache-2.0
// Keys for watching a run: timelines and TensorBoard.
#include <boost/test/unit_test.hpp>

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

Deck least(const std::string& more) { return parse_deck(kLeast + more, "x.yml"); }

std::string error(const std::string& more) {
  return message_of([&] {
    Deck d = least(more + "vocab_size: 300\n");
    resolve(d, 1);
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_watching)

BOOST_AUTO_TEST_CASE(timelines) {
  const Deck d = least("timeline_iters: [10, 11]\nsave: a\n");
  BOOST_CHECK((d.timeline_iters == std::vector<std::int64_t>{10, 11}));
  BOOST_CHECK(parse_deck(to_yaml(d), "y") == d);
  BOOST_CHECK(least("timeline_iters: null\n").timeline_iters.empty());
  CHECK_CONTAINS(error("timeline_iters: [0]\nsave: a\n"), "timeline_iters must be ≥ 1, is 0");
  CHECK_CONTAINS(error("timeline_iters: [10]\n"), "timeline_iters needs save");
}

BOOST_AUTO_TEST_CASE(tensorboard) {
  BOOST_CHECK_EQUAL(least("").tensorboard_dir, "");
  BOOST_CHECK_EQUAL(least("tensorboard_dir: tb\n").tensorboard_dir, "tb");
  const auto deepspeed = [](const std::string& words) {
    return least("tensorboard: {enabled: true" + words + "}\n").tensorboard_dir;
  };
  BOOST_CHECK_EQUAL(deepspeed(", output_path: out/, job_name: a"), "out/a");
  BOOST_CHECK_EQUAL(deepspeed(", output_path: out"), "out/DeepSpeedJobName");
  BOOST_CHECK_EQUAL(deepspeed(""), "DeepSpeedJobName");
  const Deck d = least("tensorboard: {enabled: true, output_path: out, job_name: a}\n");
  BOOST_CHECK(d.warnings.empty());
  BOOST_CHECK(parse_deck(to_yaml(d), "y") == d);
  CHECK_CONTAINS(error("tensorboard_dir: a\ntensorboard: {enabled: true}\n"),
                 "tensorboard.enabled contradicts tensorboard_dir (x.yml:");
}

BOOST_AUTO_TEST_CASE(tensorboard_that_is_off_is_told_of_what_it_says) {
  BOOST_CHECK(least("tensorboard: {enabled: false}\n").warnings.empty());
  const Deck d = least("tensorboard_dir: b\ntensorboard: {enabled: false, output_path: a}\n");
  BOOST_CHECK_EQUAL(d.tensorboard_dir, "b");
  BOOST_REQUIRE_EQUAL(d.warnings.size(), 1U);
  BOOST_CHECK_EQUAL(
      d.warnings[0],
      "tensorboard.output_path has no effect without tensorboard: {enabled: true}");
}

BOOST_AUTO_TEST_SUITE_END()
