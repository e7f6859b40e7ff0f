// SPDX-License-Identifier: Apache-2.0
// Folders that either exist whole or do not exist, whenever the power fails.
#pragma once

#include <string>

namespace trireme::checkpoint {

// All functions here throw Error with the path and the system's reason.

/// Makes a folder and those above it, on disk.
void make_folder(const std::string& path);
/// Removes a file or a whole folder; does nothing if the path does not exist.
void remove_all(const std::string& path);
/// Has the system begin to write a file's content to disk. Does not wait.
void start_sync(const std::string& path);
/// Renames `temporary` to `path`. Returns where the folder that had the name is now, for the
/// caller to remove; empty if the name was free. The name never vanishes if the system can
/// swap two names. Else the old folder is only PATH.old for an instant.
[[nodiscard]] std::string replace_folder(const std::string& temporary, const std::string& path);

}  // namespace trireme::checkpoint
