// SPDX-License-Identifier: Apache-2.0
// Runs steps, and measures their time and traffic.
#include "timed_trainer.hpp"

#include "trireme/core/log.hpp"
#include "trireme/deck/tokenizer.hpp"

namespace trireme {

Deck load_bench_deck(const DeckSource& source, Communicator& world) {
  return load_deck(source, world, [](Deck& d) {
    take_vocabulary(d);
    TRM_REQUIRE(d.model.vocab_size > 0,
                "bench makes its own tokens: set vocab_size or vocab_file in the deck");
    TRM_REQUIRE(d.model.task != Task::sequence_classification || d.model.num_labels > 0,
                "bench makes its own labels: set num_labels in the deck");
    const auto left_out = stop_growth(d);
    if (left_out.empty()) return;
    log::info("bench measures whole steps, and leaves out {}", fmt::join(left_out, ", "));
  });
}

TimedTrainer::TimedTrainer(const Engine& engine, Deck deck, Communicator& world)
    : deck_(std::move(deck)),
      mesh_(engine.mesh(mesh_shape(deck_, world.size()), world)),
      clock_(engine.time_line()),
      data_(deck_.model.vocab_size, deck_.model.task, deck_.model.sample().inputs,
            deck_.model.num_labels, deck_.seed),
      trainer_(engine.exec(), deck_, mesh_, clock_) {}

double TimedTrainer::step() {
  const auto first =
      static_cast<std::uint64_t>(done_) * static_cast<std::uint64_t>(deck_.train_batch_size);
  const auto tokens = trainer_.layout().needs_tokens()
                          ? read_samples(data_, trainer_.layout().runs(first))
                          : std::vector<std::int32_t>();
  mesh_.world->barrier();
  const double begin = now();
  clock_.begin_step();
  trainer_.step(++done_, first, tokens);
  {  // otherwise the next step would pay for this one
    const auto scope = clock_.scope(Phase::reduce);
    trainer_.wait_for_values();
  }
  clock_.end_step();
  const auto results = trainer_.collect();
  const double mine = now() - begin;
  trainer_.report();
  ++measured_;
  if (results.front().skipped) ++skipped_;
  for (const StepTime& t : clock_.take()) {
    for (std::size_t i = 0; i < kPhases; ++i) phases_[i] += t.phases[i];
  }
  return mesh_.world->reduce_value(mine, Reduction::max);
}

void TimedTrainer::reset() {
  phases_ = {};
  traffic_ = trainer_.dp_traffic();
  measured_ = 0;
  skipped_ = 0;
}

std::array<double, kPhases> TimedTrainer::phases() const {
  auto mean = phases_;
  for (double& p : mean) {
    p = mesh_.world->reduce_value(p, Reduction::sum) / mesh_.world->size() / measured_;
  }
  return mean;
}

double TimedTrainer::received_bytes() const {
  const auto traffic = trainer_.dp_traffic();
  // Stage 0 gathers sums of gradients; the other stages gather values.
  const DType gathered = deck_.zero.stage == 0 ? deck_.types.gradient : deck_.types.compute;
  const auto bytes = [](std::int64_t elements, DType type) {
    return static_cast<double>(elements) * static_cast<double>(size_of(type));
  };
  const double all = bytes(traffic.reduced - traffic_.reduced, deck_.types.communication) +
                     bytes(traffic.gathered - traffic_.gathered, gathered) +
                     static_cast<double>(traffic.quantized - traffic_.quantized);
  return all * (mesh_.shape.dp - 1) / mesh_.shape.dp / measured_;
}

}  // namespace trireme
