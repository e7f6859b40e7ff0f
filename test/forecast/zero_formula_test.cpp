// SPDX-License-Identifier: Apache-2.0
// Forecasts of a large model against the formulas of ZeRO's stages and half precision.
#include <string>

#include <boost/test/unit_test.hpp>

#include "trireme/forecast/run_plan.hpp"

#include "../support/zero_types.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

constexpr double kTolerance = 0.05;

const std::string kLarge = R"(
num_layers: 24
hidden_size: 2048
num_attention_heads: 16
seq_length: 2048
vocab_size: 50257
pos_emb: rotary
no_weight_tying: false
train_micro_batch_size_per_gpu: 1
gradient_accumulation_steps: 2
train_iters: 1
lr: 1e-4
)";  // 1.3 billion parameters

StagePlan plan_of(const std::string& text, int ranks) {
  Deck deck = parse_deck(text, "deck");
  resolve(deck, ranks);
  const RunPlan run = plan_run(deck, ranks, 0);
  BOOST_REQUIRE_EQUAL(run.stages.size(), 1U);
  return run.stages[0];
}

/// The state has at most the bytes of `stage`'s formula, and at least those of stage `least`.
void check(const ZeroTypes& types, int ranks, int stage, int least,
           const std::string& zero = "") {
  const StagePlan s =
      plan_of(kLarge + types.keys + "zero_optimization: {stage: " + std::to_string(stage) +
                  zero + "}\n",
              ranks);
  BOOST_TEST_CONTEXT(types.name << ", stage " << stage << ", " << ranks << " ranks") {
    const auto parameters = static_cast<double>(s.parameters);
    BOOST_TEST(parameters > 1.2e9);
    const double each = static_cast<double>(s.values + s.gradients + s.optimizer) / parameters;
    BOOST_TEST(each <= zero_bytes(types, stage, ranks) * (1 + kTolerance));
    BOOST_TEST(each >= zero_bytes(types, least, ranks) * (1 - kTolerance));
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(memory_formula)

BOOST_AUTO_TEST_CASE(stages) {
  for (const ZeroTypes& types : kZeroTypes) {
    for (const int ranks : {1, 2, 4, 8, 64}) {
      for (const int stage : {0, 1, 2, 3}) check(types, ranks, stage, stage == 1 ? 2 : stage);
    }
  }
}

// Gradients stay whole until the step's end, as the formula of stage 1 has it.
BOOST_AUTO_TEST_CASE(reduced_once) {
  for (const ZeroTypes& types : kZeroTypes) {
    for (const int ranks : {1, 2, 4, 8}) {
      for (const int stage : {0, 1}) {
        check(types, ranks, stage, stage, ", reduce_once_per_step: true");
      }
    }
  }
}

// Layers keep only their inputs; selective recompute keeps all but attention's arrays.
BOOST_AUTO_TEST_CASE(recomputation) {
  const std::string full = "checkpoint_activations: true\n";
  const std::string selective = full + "recompute_granularity: selective\n";
  for (const char* precision : {"fp32", "bf16"}) {
    const auto activations = [&](const std::string& keys) {
      const std::string deck =
          kLarge + "attention_dropout: 0.1\nprecision: " + precision + "\n";
      return static_cast<double>(plan_of(deck + keys, 2).activations);
    };
    const double none = activations("");
    BOOST_TEST(activations(selective) < 0.9 * none);
    BOOST_TEST(activations(full) < 0.75 * none);
  }
}

BOOST_AUTO_TEST_SUITE_END()
