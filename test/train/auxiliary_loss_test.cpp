// SPDX-License-Identifier: Apache-2.0
// A trainer whose model adds an auxiliary loss. A step reports this loss, the update lowers the
// sum of both losses, and a halt names the unit whose loss is infinite.
#include <cmath>
#include <limits>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cpu.hpp"
#include "trireme/train/trainer.hpp"

#include "../model/penalized_unit.hpp"
#include "../support/error_of.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

const std::string kDeck = R"(
num_layers: 2
hidden_size: 16
num_attention_heads: 2
seq_length: 8
vocab_size: 32
pos_emb: rotary
train_micro_batch_size_per_gpu: 2
gradient_accumulation_steps: 2
train_iters: 2
warmup: 0
lr_decay_style: constant
lr: 1e-3
optimizer: {type: SGD}
weight_decay: 0
gradient_clipping: 0
)";

Deck deck_of(const std::string& text) {
  Deck deck = parse_deck(text, "deck");
  resolve(deck, 1);
  return deck;
}

/// A run whose steps all have equal tokens.
class Run {
 public:
  /// A coefficient of 0 means no auxiliary loss.
  explicit Run(double coefficient) : coefficient_(coefficient) {}

  [[nodiscard]] Trainer::StepResult step() {
    const auto results = queue();
    BOOST_REQUIRE(results.size() == 1U);
    return results.front();
  }
  /// Queues one more step, and returns what collect() does.
  [[nodiscard]] std::vector<Trainer::StepResult> queue() {
    std::vector<std::int32_t> tokens(4 * (8 + 1));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = static_cast<std::int32_t>(i * i % 32);
    }
    trainer_.step(++done_, 0, tokens);
    return trainer_.collect();
  }
  void report() { trainer_.report(); }

 private:
  std::vector<std::unique_ptr<ModelPart>> parts() {
    auto parts = build_parts(cpu_.ex, deck_, mesh_);
    if (coefficient_ != 0) penalize(*parts[0], "layers.1", coefficient_);
    return parts;
  }

  double coefficient_;
  TinyExec cpu_;
  Deck deck_ = deck_of(kDeck);
  std::unique_ptr<Communicator> world_ = make_self_communicator();
  Mesh mesh_{{1, 1, 1}, *world_};
  PhaseClock clock_;
  Trainer trainer_{cpu_.ex, deck_, mesh_, clock_, parts()};
  std::int64_t done_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(auxiliary_loss)

BOOST_AUTO_TEST_CASE(both_losses_are_reported_and_their_sum_falls) {
  Run plain(0);
  const Trainer::StepResult without = plain.step();
  BOOST_TEST(without.auxiliary_loss == 0);
  Run run(50);
  const Trainer::StepResult first = run.step();
  const Trainer::StepResult second = run.step();
  BOOST_TEST(first.loss == without.loss);
  BOOST_TEST(first.auxiliary_loss > 0);
  BOOST_TEST(std::abs(first.gradient_norm / without.gradient_norm - 1) > 0.1);
  // A step of SGD goes by the gradient: the sum falls by lr · |gradient|², nearly.
  const double fall = first.loss + first.auxiliary_loss - second.loss - second.auxiliary_loss;
  const double expected = first.lr * first.gradient_norm * first.gradient_norm;
  BOOST_TEST(std::abs(fall - expected) <= 0.05 * expected, fall << " against " << expected);
}

BOOST_AUTO_TEST_CASE(an_infinite_one_stops_the_run) {
  Run run(std::numeric_limits<double>::infinity());
  BOOST_TEST(run.queue().empty());
  const std::string message = error_of([&] { run.report(); });
  BOOST_TEST(message.find("the loss is not finite at iteration 1") != std::string::npos,
             message);
  BOOST_TEST(message.find("the auxiliary loss of layers.1") != std::string::npos, message);
}

BOOST_AUTO_TEST_SUITE_END()
