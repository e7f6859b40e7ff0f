// SPDX-License-Identifier: Apache-2.0
// Folders that are either wholly there or not at all, whenever the power fails.
#pragma once

#include <string>

namespace trireme::checkpoint {

// All throw Error with the path and the system's reason.

/// With the folders above it, on disk.
void make_folder(const std::string& path);
/// A file or a whole folder; nothing to do if there is none.
void remove_all(const std::string& path);
/// Has the system begin to write a file's content to disk, and goes on.
void start_sync(const std::string& path);
/// `path` becomes what `temporary` is. Returns where the folder that had the name is now, to be
/// removed; empty if there was none. The name never vanishes where the system can exchange two;
/// elsewhere, for an instant, the old folder has the name PATH.old.
[[nodiscard]] std::string replace_folder(const std::string& temporary, const std::string& path);

}  // namespace trireme::checkpoint
