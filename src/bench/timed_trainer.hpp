// SPDX-License-Identifier: Apache-2.0
// A trainer on synthetic tokens, step by step beside a clock.
#pragma once

#include <memory>

#include "trireme/data/samples.hpp"
#include "trireme/deck/load.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

/// load_deck() for `trireme bench`, which makes its own tokens.
[[nodiscard]] Deck load_bench_deck(const DeckSource& source, Communicator& world);

/// Collective over `world`, all calls.
class TimedTrainer {
 public:
  /// `engine` must outlive it.
  TimedTrainer(const Engine& engine, Deck deck, Communicator& world);

  /// Seconds of the next step, on the rank that took longest.
  double step();
  /// What was measured so far doesn't count.
  void reset();
  /// Seconds of a step by phase, mean of ranks and of the steps since reset().
  [[nodiscard]] std::array<double, kPhases> phases() const;
  /// Bytes a step that a rank gets over dp from others, since reset(). Not collective.
  [[nodiscard]] double received_bytes() const;

  [[nodiscard]] const Deck& deck() const { return deck_; }
  [[nodiscard]] const Mesh& mesh() const { return mesh_; }
  [[nodiscard]] const Trainer& trainer() const { return trainer_; }
  [[nodiscard]] int skipped() const { return skipped_; }  ///< steps since reset()

 private:
  Deck deck_;
  Mesh mesh_;
  PhaseClock clock_;
  SyntheticSamples data_;
  Trainer trainer_;
  Trainer::DpTraffic traffic_;            ///< at reset()
  std::array<double, kPhases> phases_{};  ///< since reset(), of this rank
  int done_ = 0;
  int measured_ = 0;
  int skipped_ = 0;
};

}  // namespace trireme
