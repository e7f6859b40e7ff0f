// SPDX-License-Identifier: Apache-2.0
// Which checkpoint a run goes on from, and whether it may.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trireme/app/deck.hpp"

namespace trireme {

/// The checkpoints that the deck's `load` stands for, best first: of a folder what `latest`
/// names, then older ones; a path that ends in global_stepN is that one alone. Rank 0.
class LoadSource {
 public:
  LoadSource() = default;
  /// Throws Error if there is none though the deck needs one: `load` is not `save`.
  explicit LoadSource(const Deck& deck);

  /// The first that isn't incomplete; those before it are refused with a warning that says why.
  /// Nothing if the deck loads nothing, or its own folder has none yet. Throws Error if there
  /// were some and none is left.
  [[nodiscard]] std::optional<std::string> next();
  /// The one that next() gave turned out to be damaged.
  void refuse(const std::string& reason);

 private:
  std::string load_;
  std::vector<std::string> left_;     ///< best first
  std::vector<std::string> refused_;  ///< reasons
};

/// Whether a run of this deck can go on from a checkpoint; with use_checkpoint_lr_scheduler
/// takes over its schedule. Throws Error that names key and both values, for what can't change.
void check_checkpoint(const std::string& checkpoint, Deck& deck);

}  // namespace trireme
