// SPDX-License-Identifier: Apache-2.0
// A trainer on synthetic tokens whose steps are timed.
#pragma once

#include <memory>

#include "trireme/data/samples.hpp"
#include "trireme/deck/load.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

/// load_deck() for `trireme bench`, which generates its tokens.
[[nodiscard]] Deck load_bench_deck(const DeckSource& source, Communicator& world);

/// step() and phases() are collective over the constructor's `world`, as is the constructor.
class TimedTrainer {
 public:
  /// `engine` must outlive this object.
  TimedTrainer(const Engine& engine, Deck deck, Communicator& world);

  /// Runs the next step, and returns its seconds on the slowest rank.
  double step();
  /// Discards all measurements so far.
  void reset();
  /// Seconds of a step by phase, averaged over ranks and over the steps since reset().
  [[nodiscard]] std::array<double, kPhases> phases() const;
  /// Bytes that a rank receives over dp in a step, since reset(). Not collective.
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
  std::array<double, kPhases> phases_{};  ///< this rank's, since reset()
  int done_ = 0;
  int measured_ = 0;
  int skipped_ = 0;
};

}  // namespace trireme
