// SPDX-License-Identifier: Apache-2.0
// A run's saves: begun between steps, told in the log and the metrics.
#pragma once

#include <optional>

#include "trireme/checkpoint/saver.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/record/metrics.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

/// Where a run stands after so many iterations and samples.
[[nodiscard]] RunState run_state(const Deck& deck, const MeshShape& mesh,
                                 const Trainer& trainer, std::int64_t iteration,
                                 std::int64_t samples);

class Saves {
 public:
  /// Collective. `metrics` may be null. `home`: where what is held is, if not in the host's
  /// memory.
  Saves(const Deck& deck, const std::vector<HeldPiece>& held,
        const std::optional<StateHome>& home, Communicator& world, Metrics* metrics);

  /// Waits for the save before, and begins one. Collective.
  void start(const RunState& state);
  /// This rank holds up a save that is under way.
  [[nodiscard]] bool busy() const { return saver_.under_way() && !saver_.idle(); }
  /// To be called on all ranks when none is busy. Throws Error, everywhere, for a save that
  /// failed, unless for want of space and the deck lets the run go on.
  void advance();
  /// Waits for the save under way, if any. Collective.
  void wait();
  /// What became of the last save that ended, well or not; nothing before the first.
  [[nodiscard]] const std::optional<SaveReport>& last() const { return last_; }
  /// The longest that a save took; before the first an estimate from its bytes, see README.
  [[nodiscard]] double longest_seconds() const;

 private:
  void log_report(std::optional<SaveReport> report);

  const Deck& deck_;
  Metrics* metrics_;
  CheckpointSaver saver_;
  std::optional<SaveReport> last_;
  double longest_ = 0;
  double waited_ = 0;  ///< for the save before the one under way
};

}  // namespace trireme
