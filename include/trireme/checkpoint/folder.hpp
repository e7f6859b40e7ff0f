// SPDX-License-Identifier: Apache-2.0
// The folder of a run's checkpoints, as names. SAVE/global_stepN is complete by its name alone.
// SAVE/global_stepN.tmp is being written, or was left by a dead run. SAVE/latest is a text that
// names a checkpoint. No function here is collective.
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

/// What SAVE/latest names; nothing if there is no such folder or file. Throws Error if its text
/// can't be a name.
[[nodiscard]] std::optional<std::string> latest_name(const std::string& save);

/// Paths of what may be loaded from SAVE, best first: what `latest` names, then its past by
/// falling iteration. Iterations beyond `latest` come last, the nearest first, since their
/// future was given up. Where `latest` is missing, unreadable or names no folder, all
/// checkpoints stand by falling iteration, and `note` says so. Empty if SAVE has none.
struct Candidates {
  std::vector<std::string> paths;
  std::string note;
};
[[nodiscard]] Candidates find_checkpoints(const std::string& save);

/// What dead runs left: folders global_stepN.tmp and global_stepN.old beside a global_stepN,
/// latest.tmp. Names, sorted.
[[nodiscard]] std::vector<std::string> find_leftovers(const std::string& save);

/// Which checkpoints to remove so that, with the one of `iteration`, the newest `keep` of its
/// past remain: names. Checkpoints of a later iteration stay, and so does the one that `latest`
/// names. With keep ≤ 0 none is removed.
[[nodiscard]] std::vector<std::string> outdated(const std::string& save, std::int64_t iteration,
                                                std::int64_t keep);

/// Removes a folder so that no half of it can be taken for whole: renames it first. Throws
/// Error.
void remove_checkpoint(const std::string& save, const std::string& name);

}  // namespace trireme
