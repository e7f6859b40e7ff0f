// SPDX-License-Identifier: Apache-2.0
// Chooses the checkpoint that a run resumes from, and checks whether the run may resume.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trireme/checkpoint/reader.hpp"
#include "trireme/core/error.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme {

/// The deck that the checkpoint was made with, resolved. Throws Error if this version can't
/// read it.
[[nodiscard]] Deck deck_of(const CheckpointReader& reader);

/// Whether `path` is `folder` or inside it, as the file system sees them: links are followed.
[[nodiscard]] bool is_within(const std::string& path, const std::string& folder);

/// The checkpoints that a run may resume from, best first; used on rank 0. The deck's `load`
/// names them, also through symbolic links. A folder stands for the checkpoint that `latest`
/// names, followed by older checkpoints. A checkpoint's own path stands for that checkpoint
/// alone. But a run that began with `load` elsewhere, and has saved since, resumes from its own
/// `save`. One command can thus be repeated until the run is done.
class LoadSource {
 public:
  LoadSource() = default;
  /// Throws Error if the deck needs a checkpoint and there is none: `load` is not `save`.
  /// Throws Error if the run would overwrite checkpoints in `save` that it does not resume
  /// from, unless key overwrite is set. `data` is what the data hold: see data_identity().
  explicit LoadSource(const Deck& deck, std::string data = {});

  /// The first checkpoint that isn't incomplete. Refuses those before it, with warnings that
  /// say why. Empty if the deck loads no checkpoint, or if its own folder has none yet. Checks
  /// each checkpoint once against the deck; see check_checkpoint(). Throws Error if there were
  /// checkpoints and none is left, or if they can't be read now. Throws Error if the schedule
  /// differs from the schedule that an earlier call took.
  [[nodiscard]] std::optional<std::string> next(Deck& deck);
  /// Marks the checkpoint that next() returned as damaged.
  void refuse(const std::string& reason);

  /// Whether the run began earlier, with `load` elsewhere. Its own checkpoints are then loaded
  /// whole: `finetune`, `no_load_optim` and `no_load_rng` no longer apply.
  [[nodiscard]] bool began_earlier() const { return began_earlier_; }

 private:
  std::string folder_;  ///< folder of the checkpoints
  std::string data_;
  bool began_earlier_ = false;
  std::vector<std::string> left_;     ///< remaining checkpoints, best first
  std::vector<std::string> refused_;  ///< reasons for refusing checkpoints
  std::string checked_;               ///< the last checkpoint compared with the deck
};

/// Checks that a run of this deck can resume from the checkpoint. With
/// use_checkpoint_lr_scheduler, takes the checkpoint's schedule into `deck`. Takes the
/// checkpoint's batch size too, as keep_batch_size() says. Throws Error that names key and both
/// values, for settings that can't change. Warns if the data hold something else than `data`;
/// an empty text compares the names of the files.
void check_checkpoint(const std::string& checkpoint, Deck& deck, const std::string& data = {});

/// Throws Error that names key and both values if the deck's model isn't the checkpoint's.
void require_same_model(const std::string& checkpoint, const Deck& made_with, const Deck& deck);

/// Throws Error unless the deck's adapters are the checkpoint's: they belong to its weights.
void require_same_adapters(const std::string& checkpoint, const Deck& made_with,
                           const Deck& deck);
/// Checks that the folder of a Hugging Face model is whole and holds the deck's model. Throws
/// Error that names every key that differs.
void check_model_folder(const std::string& folder, const Deck& deck);

/// Throws Error if a checkpoint could not be read for a `reason` of the system: permission,
/// open files, a failing disk. Another checkpoint would not help in this case. The error is
/// thrown everywhere if `reason` was. Returns if the checkpoint is damaged.
void require_damage(const Error& reason);

}  // namespace trireme
