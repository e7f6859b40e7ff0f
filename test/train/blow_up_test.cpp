// SPDX-License-Identifier: Apache-2.0
// fp16 runs that no loss scale can mend: they end, and a state that is not finite is named.
#include <cmath>
#include <set>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"
#include "training.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

const Json kDeck = Json::parse(R"({
  "num_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "seq_length": 32,
  "pos_emb": "rotary", "no_weight_tying": true, "train_micro_batch_size_per_gpu": 1,
  "lr": 1e-3, "lr_decay_style": "constant", "warmup": 0, "weight_decay": 0, "eval_iters": 0,
  "train_iters": 30})");

const Json kScale{{"fp16", {{"initial_scale_power", 4}}}};

Json fixed_scale(double scale) { return {{"fp16", {{"loss_scale", scale}}}}; }

/// ZeRO's stage with parameters and buckets that are really sharded.
Json stage_of(int stage) {
  return {{"zero_optimization",
           {{"stage", stage},
            {"stage3_param_persistence_threshold", 0},
            {"reduce_bucket_size", 3000}}}};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(blow_up)

BOOST_AUTO_TEST_CASE(skipped_steps_in_a_row_have_a_limit) {
  const Json deck = merged(kDeck, {{"precision", "fp16"}, {"max_skipped_steps", 4}},
                           fixed_scale(std::ldexp(1.0, 26)), {{"train_iters", 6}});
  const Training run = train(deck, 2);
  for (const char* words : {"iteration 4: gradients overflowed in 4 steps in a row",
                            "max_skipped_steps", "(first: the gradient of "}) {
    TRM_TEST_MENTIONS(run.error, words);
  }
  BOOST_TEST(run.steps.size() == 3U);
}

/// No loss scale mends a loss that is not finite: such a step is no overflow.
BOOST_AUTO_TEST_CASE(a_loss_that_is_not_finite_ends_a_run_with_a_loss_scale) {
  const Json huge{{"precision", "fp16"}, {"lr", 1e30}};
  std::set<std::string> errors;
  for (int stage = 0; stage < 4; ++stage) {
    const Training run = train(merged(kDeck, huge, stage_of(stage), kScale), 2);
    errors.insert(run.error);
    BOOST_TEST(run.steps.size() == 1U);
  }
  BOOST_TEST(errors.size() == 1U);
  TRM_TEST_MENTIONS(*errors.begin(), "the loss is not finite at iteration 2");
}

/// After an update that overflows fp16, the state is known to be bad before it is saved.
BOOST_AUTO_TEST_CASE(a_state_that_is_not_finite_is_named) {
  const Json fp16 = merged(kDeck, {{"precision", "fp16"}}, kScale);
  std::set<std::string> names;
  for (int stage = 0; stage < 4; ++stage) {
    const Json deck = merged(fp16, stage_of(stage));
    BOOST_TEST(train(deck, 2, {.until = 1}).bad.empty());
    names.insert(train(merged(deck, {{"lr", 1e30}}), 2, {.until = 1}).bad);
  }
  BOOST_TEST(names.size() == 1U);
  TRM_TEST_MENTIONS(*names.begin(), "model/");
  TRM_TEST_MENTIONS(*names.begin(), ", element ");
}

BOOST_AUTO_TEST_SUITE_END()
