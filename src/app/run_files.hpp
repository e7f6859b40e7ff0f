// SPDX-License-Identifier: Apache-2.0
// What runs leave in their folders, and to which run these files belong.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// The absolute path without links, as far as it exists, and without a slash at its end.
[[nodiscard]] std::filesystem::path without_links(const std::string& path);
/// Whether two paths lead to one place, as the file system sees them. Empty paths lead nowhere.
[[nodiscard]] bool is_same_place(const std::string& a, const std::string& b);

/// Names of checkpoints in a folder, `latest` and temporary folders included; empty if no start
/// could load any.
[[nodiscard]] std::vector<std::string> checkpoint_files(const std::string& save);

/// Names of a run's own files, metrics.h5 and the like. Empty if no step has a row there.
[[nodiscard]] std::vector<std::string> record_files(const std::string& run_dir);

/// Names of TensorBoard's event files.
[[nodiscard]] std::vector<std::string> event_files(const std::string& tensorboard_dir);

/// The resolved deck of the last start that used a run's folder; empty if trireme wrote none.
[[nodiscard]] std::optional<Deck> last_deck(const std::string& run_dir);

/// The steps that metrics.h5 in a folder has; 0 without such a file. Empty if the file can't
/// be read.
[[nodiscard]] std::optional<std::int64_t> recorded_steps(const std::string& run_dir);

/// Moves names within `folder` to `folder`/before-DATE, which is made, and returns that.
std::string move_aside(const std::string& folder, const std::vector<std::string>& names);

/// "NAME.before-20261129-101500": free, for what stands at `path`.
[[nodiscard]] std::string name_aside(const std::string& path);

/// Removes the temporary files of `names` that dead processes left in a folder.
void remove_temporary_files(const std::string& folder, const std::vector<std::string>& names);

}  // namespace trireme
