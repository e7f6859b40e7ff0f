// SPDX-License-Identifier: Apache-2.0
// The betas that DeepSpeed's OneCycle sets reach the update and its bias corrections.
#include <boost/test/unit_test.hpp>

#include "meshes.hpp"
#include "training.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

Json deck_of(const char* type, const Json& cycle, int stage, double beta1 = 0.8) {
  const Json optimizer{
      {"optimizer", {{"type", type}, {"params", {{"lr", 1e-2}, {"betas", {beta1, 0.99}}}}}}};
  const Json params{
      {"cycle_min_lr", 1e-3}, {"cycle_max_lr", 1e-2}, {"cycle_first_step_size", 2}};
  Json base = lever_model(0);
  for (const char* key : {"lr", "optimizer", "warmup", "lr_decay_style", "lr_decay_iters"}) {
    base.erase(key);
  }
  return merged(base, optimizer,
                {{"scheduler", {{"type", "OneCycle"}, {"params", merged(params, cycle)}}}},
                {{"zero_optimization", {{"stage", stage}}}},
                {{"num_layers", 1},
                 {"eval_iters", 0},
                 {"train_iters", 6},
                 {"gradient_accumulation_steps", 1}});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(one_cycle)

BOOST_AUTO_TEST_CASE(betas_reach_the_update) {
  for (const char* type : {"AdamW", "Lion", "Lamb"}) {
    // A momentum that always stands at 0.8 is that of betas [0.8, 0.99].
    const Json still{{"cycle_min_mom", 0.8}, {"cycle_max_mom", 0.8}};
    const Training expected = train(deck_of(type, {{"cycle_momentum", false}}, 0), 2);
    const Training got = train(deck_of(type, still, 0, 0.5), 2);
    BOOST_TEST(difference(got, expected).empty(), type << ": " << difference(got, expected));
    const Training moved = train(deck_of(type, {{"cycle_max_mom", 0.95}}, 0), 2);
    BOOST_TEST(moved.steps[0].loss == expected.steps[0].loss);
    BOOST_TEST(moved.steps.back().loss != expected.steps.back().loss);
    const Training sharded = train(deck_of(type, {{"cycle_max_mom", 0.95}}, 2), 2);
    BOOST_TEST(difference(sharded, moved).empty(), type << ": " << difference(sharded, moved));
  }
}

BOOST_AUTO_TEST_SUITE_END()
