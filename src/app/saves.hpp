// SPDX-License-Identifier: Apache-2.0
// A run's saves, which start between steps and are reported in the log and the metrics.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "trireme/checkpoint/saver.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/record/metrics.hpp"
#include "trireme/train/trainer.hpp"

#include "deck_tokenizer.hpp"

namespace trireme {

/// The state of a run after `iteration` iterations and `samples` samples of `data`. Rank 0
/// knows `data`, `tokenizer` and how the run `began`.
[[nodiscard]] RunState run_state(const Deck& deck, const MeshShape& mesh,
                                 const Trainer& trainer, std::int64_t iteration,
                                 std::int64_t samples, const std::string& data,
                                 const KeptTokenizer& tokenizer, const RunBeginning& began);

class Saves {
 public:
  /// `metrics` may be null. `home` says where `held` resides if not in host memory. Rank 0
  /// calls `require_owner` before a save changes the folder. Collective.
  Saves(const Deck& deck, const std::vector<HeldPiece>& held,
        const std::optional<StateHome>& home, Communicator& world, Metrics* metrics,
        std::function<void()> require_owner);

  /// Waits for the previous save, and starts a new save. Throws Error, on all ranks, if the
  /// state is not finite: no such checkpoint takes the place of a good one. Collective.
  void start(Trainer& trainer, const RunState& state);
  /// Whether this rank delays a running save.
  [[nodiscard]] bool busy() const { return saver_.under_way() && !saver_.idle(); }
  /// Advances the running save. Call on all ranks when no rank is busy. Throws Error on all
  /// ranks if the save failed. A full disk is no Error if the deck lets the run continue.
  void advance();
  /// Waits for the running save, if any. Collective.
  void wait();
  /// Whether the last save failed because its folder was moved or removed. The caller should
  /// save again: the folder is made anew.
  [[nodiscard]] bool must_repeat() const { return vanished_ > 0 && !saver_.under_way(); }
  /// The result of the last completed or failed save; empty before the first.
  [[nodiscard]] const std::optional<SaveReport>& last() const { return last_; }
  /// The path of this start's last complete checkpoint; empty before the first.
  [[nodiscard]] const std::string& last_good() const { return last_good_; }
  /// Seconds of the longest save so far. Before the first save this is an estimate from its
  /// bytes at 200 MB/s per writer.
  [[nodiscard]] double longest_seconds() const;

 private:
  void log_report(std::optional<SaveReport> report);

  const Deck& deck_;
  Metrics* metrics_;
  CheckpointSaver saver_;
  std::optional<SaveReport> last_;
  std::string last_good_;
  double longest_ = 0;
  int vanished_ = 0;   ///< saves in a row whose folder was moved or removed
  double waited_ = 0;  ///< seconds spent waiting for the previous save
};

/// Waits for a running save, whose state was good, and adds the run's last good checkpoint to
/// an error that all ranks throw. `saves` may be null. `loaded`: the checkpoint that the run
/// resumed from, or empty. Collective.
[[nodiscard]] Error name_last_good(const Error& e, Saves* saves, const std::string& loaded);

}  // namespace trireme
