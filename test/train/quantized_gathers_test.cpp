// SPDX-License-Identifier: Apache-2.0
// Gathers of bytes at stage 3: runs repeat and restart to the bit, a copy that neighbours share
// changes no bit, and runs learn as well as exact ones.
#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

const Json kNoKeys = Json::object();

Json deck_of(int model, const Json& mesh, bool quantized, const Json& zero = Json::object(),
             const Json& more = Json::object()) {
  const Json all = merged({{"stage", 3},
                           {"stage3_param_persistence_threshold", 100},
                           {"zero_quantized_weights", quantized}},
                          zero);
  return merged(lever_model(model), mesh,
                {{"num_layers", 2},
                 {"train_iters", 6},
                 {"eval_interval", 3},
                 {"eval_iters", 2},
                 {"zero_optimization", all}},
                more);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(quantized_gathers)

BOOST_AUTO_TEST_CASE(runs_repeat_and_restart_to_the_bit) {
  struct Case {
    LeverMesh mesh;
    int model;
    const char* precision;
  };
  const std::vector<Case> cases{{mesh_of("dp4", {.dp = 4}), 0, "bfloat16"},
                                {mesh_of("dp2_tp2", {.dp = 2, .tp = 2}), 2, "fp32"},
                                {mesh_of("dp2_pp2", {.dp = 2, .pp = 2}), 2, "fp16"}};
  for (const Case& one : cases) {
    BOOST_TEST_CONTEXT(one.mesh.name) {
      const TemporaryFolder folder(memory_folder());
      const Json more{{"precision", one.precision}};
      const Json deck = deck_of(one.model, one.mesh.deck, true, kNoKeys, more);
      const int ranks = one.mesh.ranks;
      const Training whole = train(deck, ranks);
      BOOST_TEST(whole.error.empty(), whole.error);
      const std::string other = difference(train(deck, ranks, {.delays = 7}), whole);
      BOOST_TEST(other.empty(), other);
      static_cast<void>(train(deck, ranks, {.save = folder / "save", .until = 3}));
      const Training later = train(deck, ranks, {.load = folder / "save/global_step3"});
      const std::string off = array_difference(later, whole);
      BOOST_TEST(off.empty(), off);
      BOOST_TEST(later.steps.back().loss == whole.steps.back().loss);

      const Training exact =
          train(deck_of(one.model, one.mesh.deck, false, kNoKeys, more), ranks);
      const auto& q = whole.steps.back();
      const auto& e = exact.steps.back();
      BOOST_TEST(q.loss != e.loss);
      BOOST_TEST(q.reduced == e.reduced);
      BOOST_TEST(q.gathered < e.gathered);
      BOOST_TEST(e.quantized == 0);
      // A scale has at most 16 values to itself, where a block of a span ends.
      BOOST_TEST(q.quantized > e.gathered - q.gathered);
      BOOST_TEST(q.quantized < (e.gathered - q.gathered) * 5 / 4);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_copy_of_rounded_values_changes_no_bit) {
  const LeverMesh four = mesh_of("dp4", {.dp = 4});
  const Json more{{"gradient_accumulation_steps", 2}};
  const auto run = [&](int near) {
    const Json zero{{"stage3_prefetch_bucket_size", 0}, {"zero_hpz_partition_size", near}};
    return train(deck_of(0, four.deck, true, zero, more), 4);
  };
  const Training far = run(1);
  const Training near = run(2);
  const std::string off = difference(near, far);
  BOOST_TEST(off.empty(), off);
  BOOST_TEST(near.steps.back().quantized < far.steps.back().quantized);
  BOOST_TEST(near.steps.back().nearby > 0);
}

BOOST_AUTO_TEST_CASE(they_learn_as_well_as_exact_gathers) {
  const LeverMesh two = mesh_of("dp2", {.dp = 2});
  const Json more{{"train_iters", 60},   {"lr_decay_iters", 60},   {"lr", 2e-3},
                  {"hidden_dropout", 0}, {"attention_dropout", 0}, {"eval_interval", 60},
                  {"eval_iters", 4}};
  const Training quantized = train(deck_of(0, two.deck, true, kNoKeys, more), 2);
  const Training exact = train(deck_of(0, two.deck, false, kNoKeys, more), 2);
  const double first = exact.steps.front().loss;
  const double learned = first - exact.valid.back();
  BOOST_TEST(learned > 0.3);
  BOOST_TEST(first - quantized.valid.back() > 0.95 * learned,
             quantized.valid.back() << " beside " << exact.valid.back() << " from " << first);
}

BOOST_AUTO_TEST_SUITE_END()
