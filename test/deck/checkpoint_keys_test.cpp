// SPDX-License-Identifier: Apache-2.0
// Keys of checkpoints: values, ranges, contradictions, and writing back.
#include <boost/test/unit_test.hpp>

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

Deck least(const std::string& more) { return parse_deck(kLeast + more, "x.yml"); }

const std::string kAll = R"(
save: runs/a
load: runs/b
save_interval: 10
checkpoint-scale: log
extra_save_iters: [7, 1e2, 9007199254740993]
keep_last_n_checkpoints: 3
exit_interval: 500
no_save_optim: true
finetune: true
no_load_optim: true
no_load_rng: true
override_lr_scheduler: true
use_checkpoint_lr_scheduler: true
checkpoint: {async: false, writers_per_node: 4, stop_when_full: true, time_limit_margin: 0.1}
)";

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_checkpoint)

BOOST_AUTO_TEST_CASE(values) {
  const Deck d = least(kAll);
  BOOST_CHECK_EQUAL(d.save, "runs/a");
  BOOST_CHECK_EQUAL(d.load, "runs/b");
  BOOST_CHECK_EQUAL(d.checkpoint_factor, 10);
  BOOST_CHECK(d.checkpoint_scale == DeckSettings::CheckpointScale::log);
  BOOST_CHECK((d.extra_save_iters == std::vector<std::int64_t>{7, 100, 9007199254740993}));
  BOOST_CHECK_EQUAL(d.keep_last_n_checkpoints, 3);
  BOOST_CHECK_EQUAL(d.exit_interval, 500);
  BOOST_CHECK(d.no_save_optim);
  BOOST_CHECK(d.finetune);
  BOOST_CHECK(d.no_load_optim);
  BOOST_CHECK(d.no_load_rng);
  BOOST_CHECK(d.override_lr_scheduler);
  BOOST_CHECK(d.use_checkpoint_lr_scheduler);
  BOOST_CHECK(!d.checkpoint_async);
  BOOST_CHECK_EQUAL(d.checkpoint_writers_per_node, 4);
  BOOST_CHECK(d.checkpoint_stop_when_full);
  BOOST_CHECK_EQUAL(d.checkpoint_time_margin, 0.1);
  BOOST_CHECK(d.warnings.empty());
}

BOOST_AUTO_TEST_CASE(each_key_alone_reads_back_as_itself) {
  const Deck usual = least("");
  BOOST_CHECK(parse_deck(to_yaml(usual), "y.yml") == usual);
  for (const char* line :
       {"checkpoint_scale: log", "extra_save_iters: [0, 6]", "checkpoint_factor: 1000.0",
        "extra_save_iters: 5", "keep_last_n_checkpoints: 2", "exit_interval: 9",
        "no_save_optim: true", "finetune: true", "no_load_optim: true", "no_load_rng: true",
        "override_lr_scheduler: true", "use_checkpoint_lr_scheduler: true",
        "checkpoint: {async: false}", "checkpoint: {writers_per_node: 2}",
        "checkpoint: {stop_when_full: true}", "checkpoint: {time_limit_margin: 1e-3}"}) {
    const Deck d = least(std::string(line) + "\n");
    BOOST_CHECK_MESSAGE(!(d == usual), line << " sets nothing");
    BOOST_CHECK_MESSAGE(parse_deck(to_yaml(d), "y.yml") == d, line << " is not written back");
  }
  const Deck all = least(kAll);
  BOOST_CHECK(parse_deck(to_yaml(all), "y.yml") == all);
}

BOOST_AUTO_TEST_CASE(nothing_is_the_default) {
  const Deck d = least(
      "extra_save_iters: null\nkeep_last_n_checkpoints: null\nexit_interval: 0\n"
      "checkpoint: {async: null, time_limit_margin: 0, writers_per_node: 0}\n");
  BOOST_CHECK(d == least(""));
  BOOST_CHECK(least("extra_save_iters: []\ncheckpoint: null\n") == d);
  BOOST_CHECK(d.checkpoint_async);
  CHECK_CONTAINS(to_yaml(d), "\nkeep_last_n_checkpoints: null\n");
  CHECK_CONTAINS(to_yaml(d), "\nextra_save_iters: null\n");
  CHECK_CONTAINS(to_yaml(d), "\n  time_limit_margin: null\n");
}

BOOST_AUTO_TEST_CASE(types_and_ranges) {
  const auto error = [](const std::string& line) { return parse_error(kLeast + line + "\n"); };
  CHECK_CONTAINS(error("checkpoint_scale: cubic"), "expects one of linear, log, got 'cubic'");
  CHECK_CONTAINS(error("extra_save_iters: [1, two]"),
                 "x.yml:9:23: extra_save_iters expects an integer, got 'two'");
  CHECK_CONTAINS(error("extra_save_iters: [1, -1]"), "extra_save_iters must be ≥ 0, is -1");
  CHECK_CONTAINS(error("extra_save_iters: {a: 1}"), "expects an integer, got {a: 1}");
  CHECK_CONTAINS(error("keep_last_n_checkpoints: 0"), "must be ≥ 1, is 0");
  CHECK_CONTAINS(error("exit_interval: -1"), "exit_interval must be ≥ 0, is -1");
  CHECK_CONTAINS(error("checkpoint: {async: 2}"), "checkpoint.async expects true or false");
  CHECK_CONTAINS(error("checkpoint: {writers_per_node: -1}"), "must be ≥ 0 and ≤ 1");
  CHECK_CONTAINS(error("checkpoint: {time_limit_margin: -1}"), "must be ≥ 0, is -1");
  CHECK_CONTAINS(error("checkpoint: {asynch: true}"), "did you mean 'checkpoint.async'?");
  CHECK_CONTAINS(error("checkpoint: true"), "checkpoint expects a dictionary");
}

BOOST_AUTO_TEST_CASE(contradictions) {
  const auto error = [](const std::string& more) {
    Deck d = least(more);
    return message_of([&] { resolve(d, 1); });
  };
  CHECK_CONTAINS(error("checkpoint_scale: log\n"),
                 "checkpoint_factor above 1, such as 2; it is null");
  CHECK_CONTAINS(error("checkpoint_scale: log\ncheckpoint_factor: 1\n"), "such as 2; it is 1");
  CHECK_CONTAINS(error("override_lr_scheduler: true\nuse_checkpoint_lr_scheduler: true\n"),
                 "override_lr_scheduler contradicts use_checkpoint_lr_scheduler");
  CHECK_CONTAINS(error("finetune: true\n"), "finetune: true needs load");
  CHECK_CONTAINS(error("finetune: true\nload: runs/b\nuse_checkpoint_lr_scheduler: true\n"),
                 "finetune: true starts its own schedule");
  CHECK_CONTAINS(error("checkpoint_factor: 2.5\n"), "must be a whole number");
  CHECK_CONTAINS(error("checkpoint_factor: 1.0000001\ncheckpoint_scale: log\n"),
                 "1.001 or more");
  Deck fine = least("finetune: true\nload: runs/b\noverride_lr_scheduler: true\n");
  BOOST_CHECK_NO_THROW(resolve(fine, 1));
  fine =
      least("checkpoint_factor: 1.5\ncheckpoint_scale: log\nextra_save_iters: [0, 1, 512]\n");
  BOOST_CHECK_NO_THROW(resolve(fine, 1));
  Deck d = least("checkpoint_scale: log\ncheckpoint_factor: 2\nfinetune: true\nload: runs/b\n");
  BOOST_CHECK_NO_THROW(resolve(d, 1));
}

BOOST_AUTO_TEST_CASE(deepspeeds_own_keys_beside_ours) {
  const Deck d = least(
      "checkpoint: {async: false, tag_validation: Warn, load_universal: true,\n"
      "  parallel_write: {pipeline_stage: true}}\nno_save_rng: true\n");
  BOOST_CHECK(!d.checkpoint_async);
  BOOST_REQUIRE_EQUAL(d.warnings.size(), 1U);
  CHECK_CONTAINS(d.warnings[0], "checkpoint.tag_validation");
  CHECK_CONTAINS(d.warnings[0], "checkpoint.parallel_write");
  CHECK_CONTAINS(d.warnings[0], "checkpoint.load_universal (any checkpoint loads on any mesh)");
  CHECK_CONTAINS(d.warnings[0], "no_save_rng (the random state is one number, the seed");
  BOOST_CHECK(!contains(d.warnings[0], "async"));
}

BOOST_AUTO_TEST_CASE(keys_are_described) {
  const std::string text = describe_keys();
  CHECK_CONTAINS(text, "\nCheckpoints\n  save: folder for checkpoints");
  CHECK_CONTAINS(text, "list of integers ≥ 1; default null");
  CHECK_CONTAINS(text, "one of linear, log; default linear");
  CHECK_CONTAINS(text, "  checkpoint.async: ");
}

BOOST_AUTO_TEST_SUITE_END()
