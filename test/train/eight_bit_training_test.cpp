// SPDX-License-Identifier: Apache-2.0
// AdamW with moments of 8 bits: stages and numbers of data-parallel ranks share blocks, and a
// checkpoint gives them back to the bit.
#include <cmath>

#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

/// Matrices have moments of 8 bits, and smaller parameters of 32.
Json deck_of(int model, const Json& mesh, int stage, bool coded = true,
             const Json& more = Json::object()) {
  const Json optimizer{
      {"use_bnb_optimizer", coded},
      {"optimizer", {{"type", "AdamW"}, {"params", {{"lr", 1e-2}, {"min_8bit_size", 300}}}}}};
  const Json zero{{"zero_optimization",
                   {{"stage", stage},
                    {"reduce_bucket_size", 997},
                    {"sub_group_size", 700},
                    {"stage3_param_persistence_threshold", 100}}}};
  Json base = lever_model(model);
  for (const char* key : {"lr", "optimizer"}) base.erase(key);
  return merged(base, optimizer, mesh, zero,
                merged({{"num_layers", 2},
                        {"eval_iters", 0},
                        {"gradient_accumulation_steps", 1},
                        {"hidden_dropout", 0},
                        {"attention_dropout", 0},
                        {"train_batch_size", 8},
                        {"train_iters", 7},
                        {"lr_decay_iters", 20},
                        {"warmup", 0}},
                       more));
}

const Json kTwoByTwo{{"model_parallel_size", 2}};

void check_losses(const Training& got, const std::vector<double>& expected, double tolerance) {
  BOOST_REQUIRE_EQUAL(got.steps.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    BOOST_TEST(std::abs(got.steps[i].loss - expected[i]) <= tolerance * expected[i],
               "step " << i + 1 << ": " << got.steps[i].loss << " beside " << expected[i]);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(eight_bit_training)

BOOST_AUTO_TEST_CASE(stages_give_equal_bits) {
  for (const char* precision : {"fp32", "bfloat16"}) {
    const Json more{{"precision", precision}};
    const Training expected = train(deck_of(0, kTwoByTwo, 0, true, more), 4);
    BOOST_TEST(expected.steps.back().loss < expected.steps.front().loss);
    for (const int stage : {1, 2, 3}) {
      const std::string off =
          difference(train(deck_of(0, kTwoByTwo, stage, true, more), 4), expected);
      BOOST_TEST(off.empty(), precision << " stage " << stage << ": " << off);
    }
  }
}

BOOST_AUTO_TEST_CASE(it_follows_adamw_and_one_rank) {
  const Training plain = train(deck_of(2, Json::object(), 0, false), 1);
  const Training one = train(deck_of(2, Json::object(), 0), 1);
  BOOST_TEST(one.losses() != plain.losses());
  check_losses(one, plain.losses(), 2e-2);
  check_losses(train(deck_of(2, Json::object(), 1), 4), one.losses(), 1e-3);
  check_losses(train(deck_of(2, kTwoByTwo, 3), 8), one.losses(), 1e-2);
}

BOOST_AUTO_TEST_CASE(a_checkpoint_gives_codes_back) {
  const TemporaryFolder folder(memory_folder());
  const Training whole = train(deck_of(2, kTwoByTwo, 2), 4);
  const Training half =
      train(deck_of(2, kTwoByTwo, 2), 4, {.save = folder / "save", .until = 4});
  const std::string saved = folder / "save/global_step4";
  const Training same = train(deck_of(2, kTwoByTwo, 2), 4, {.load = saved});
  check_losses(same, {whole.steps[4].loss, whole.steps[5].loss, whole.steps[6].loss}, 0);
  BOOST_TEST(array_difference(same, whole).empty(), array_difference(same, whole));
  // Blocks are those of a shard over tp, and don't depend on dp or the stage.
  for (const auto& [ranks, stage] : {std::pair{2, 0}, {4, 0}, {8, 1}, {8, 3}}) {
    const Training loaded =
        train(deck_of(2, kTwoByTwo, stage), ranks, {.load = saved, .until = 4});
    const std::string off = array_difference(loaded, half);
    BOOST_TEST(off.empty(), ranks << " ranks, stage " << stage << ": " << off);
  }
  // AdamW takes the moments as they are.
  const Training plain =
      train(deck_of(2, Json::object(), 0, false), 1, {.load = saved, .until = 4});
  BOOST_TEST(array_difference(plain, half).empty(), array_difference(plain, half));
  const Training other = train(deck_of(2, Json::object(), 0), 1, {.load = saved});
  check_losses(other, {whole.steps[4].loss, whole.steps[5].loss, whole.steps[6].loss}, 1e-2);
}

BOOST_AUTO_TEST_CASE(a_checkpoint_of_adamw_goes_on) {
  const TemporaryFolder folder(memory_folder());
  const Training plain =
      train(deck_of(2, Json::object(), 1, false), 2, {.save = folder / "save", .until = 4});
  const Training coded =
      train(deck_of(2, Json::object(), 1), 2, {.load = folder / "save/global_step4"});
  BOOST_REQUIRE_EQUAL(coded.steps.size(), 3U);
  BOOST_TEST(coded.steps.back().loss < plain.steps.front().loss);
}

BOOST_AUTO_TEST_SUITE_END()
