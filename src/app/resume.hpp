// SPDX-License-Identifier: Apache-2.0
// Which checkpoint a run goes on from, and whether it may.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme {

/// Whether `path` is `folder` or in it, by their names: "a/b/" and "./a/b" are the same.
[[nodiscard]] bool is_within(const std::string& path, const std::string& folder);

/// The checkpoints that a run may go on from, best first. Rank 0.
///
/// They are those that the deck's `load` stands for: of a folder what `latest` names, then
/// older ones; a path that ends in global_stepN is that one alone. But a run that began with
/// `load` elsewhere and has saved since goes on from its own `save`, so that the same command
/// can be started until it is done.
class LoadSource {
 public:
  LoadSource() = default;
  /// Throws Error if there is none though the deck needs one: `load` is not `save`; and if the
  /// run would write over checkpoints in `save` that it does not go on from.
  explicit LoadSource(const Deck& deck);

  /// The first that isn't incomplete; those before it are refused with a warning that says why.
  /// Nothing if the deck loads nothing, or its own folder has none yet. Each is held against
  /// the deck once, see check_checkpoint(). Throws Error if there were some and none is left,
  /// if they can't be read now, or if the schedule is another than an earlier call took over.
  [[nodiscard]] std::optional<std::string> next(Deck& deck);
  /// The one that next() gave turned out to be damaged.
  void refuse(const std::string& reason);

  /// The run began earlier, with `load` elsewhere: its own checkpoints are loaded whole, and
  /// `finetune`, `no_load_optim` and `no_load_rng` are done with.
  [[nodiscard]] bool began_earlier() const { return began_earlier_; }

 private:
  std::string folder_;  ///< where they are
  bool began_earlier_ = false;
  std::vector<std::string> left_;     ///< best first
  std::vector<std::string> refused_;  ///< reasons
  std::string checked_;               ///< the last one held against the deck
};

/// Whether a run of this deck can go on from a checkpoint; with use_checkpoint_lr_scheduler
/// takes over its schedule. Throws Error that names key and both values, for what can't change.
void check_checkpoint(const std::string& checkpoint, Deck& deck);

/// A checkpoint could not be read for `reason`. Throws Error, as `reason` is thrown everywhere
/// or not, if that is no damage but the system's trouble (permission, open files, a failing
/// disk): another checkpoint would not mend it.
void require_damage(const Error& reason);

}  // namespace trireme
