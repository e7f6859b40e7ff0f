// SPDX-License-Identifier: Apache-2.0
// The folder of a run's checkpoints, as names. SAVE/global_stepN is complete by its name alone.
// SAVE/global_stepN.MARK.tmp is being written by the process with this mark, or was left by a
// dead run. SAVE/latest is a text that names a checkpoint. No function here is collective.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trireme {

/// "global_stepN".
[[nodiscard]] std::string checkpoint_name(std::int64_t iteration);
/// N of "global_stepN", or of a path that ends so; nothing for any other name.
[[nodiscard]] std::optional<std::int64_t> checkpoint_iteration(const std::string& path);

/// Whether a path leads to a checkpoint, rather than to a folder of checkpoints. A checkpoint
/// holds checkpoint.h5, or is named "global_stepN" and holds neither `latest` nor checkpoints.
[[nodiscard]] bool is_checkpoint(const std::string& path);

/// The name in SAVE/latest; nothing if SAVE or SAVE/latest does not exist. Throws Error if the
/// text can't be a name.
[[nodiscard]] std::optional<std::string> latest_name(const std::string& save);

/// Paths of what may be loaded from SAVE, best first: the checkpoint that `latest` names, then
/// its past by falling iteration. Iterations beyond `latest` come last, the nearest first,
/// since the run gave them up. A symbolic link to a checkpoint is one. Where `latest` is
/// missing, unreadable or names no folder, all checkpoints stand by falling iteration, and
/// `note` says so. Empty if SAVE has none.
struct Candidates {
  std::vector<std::string> paths;
  std::string note;
};
[[nodiscard]] Candidates find_checkpoints(const std::string& save);

/// Names of what dead runs left, sorted: folders global_stepN.MARK.tmp, files latest.MARK.tmp,
/// both also without a mark, and folders global_stepN.old beside a global_stepN.
[[nodiscard]] std::vector<std::string> find_leftovers(const std::string& save);

/// Names of the checkpoints to remove so that the newest `keep` remain: the checkpoint of
/// `iteration` and older ones. Later checkpoints stay, and so does the checkpoint that `latest`
/// names. With keep ≤ 0 the list is empty.
[[nodiscard]] std::vector<std::string> outdated(const std::string& save, std::int64_t iteration,
                                                std::int64_t keep);

/// Removes a folder. Renames the folder first, so that no half of it can be taken for whole.
/// Throws Error.
void remove_checkpoint(const std::string& save, const std::string& name);

}  // namespace trireme
