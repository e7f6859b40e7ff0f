// SPDX-License-Identifier: Apache-2.0
// Regular files, and what else may stand in their place: folders, named pipes, devices. To open
// a pipe can wait for ever, and to open a device can act on it, so both are looked at first.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace trireme {

/// What stands at `path`, in words for a message: "a folder", "a named pipe", "a device", "a
/// socket". Empty for a regular file, and where the path leads nowhere. Follows symbolic links.
[[nodiscard]] std::string other_kind(const std::string& path);

/// Throws Error unless `path` is a regular file, or a symbolic link to a regular file.
void require_file(const std::string& path);
/// Like require_file(), but the path may also be free.
void require_file_or_nothing(const std::string& path);

/// The content of a regular file of at most `most_bytes` bytes. Throws Error that names it.
[[nodiscard]] std::string read_file(
    const std::string& path,
    std::int64_t most_bytes = std::numeric_limits<std::int64_t>::max());

/// Appends `text` to a regular file in one write, and makes the file if `create` says so.
/// Returns 0, or the errno of the call that failed. Returns EINVAL where no file stands, and
/// ENOSPC where a part was written. `written` becomes the number of bytes written.
[[nodiscard]] int append_text(const std::string& path, const std::string& text, bool create,
                              std::size_t& written);

/// Makes the folder that a file is to stand in, and those above it. Returns 0 or an errno.
[[nodiscard]] int make_folder_of(const std::string& path);

/// The folder that a path stands in: an absolute path.
[[nodiscard]] std::string folder_of(const std::string& path);

/// All bytes of the open file `from`, from its beginning, go to the open file `to`. Returns 0
/// or an errno.
[[nodiscard]] int copy_bytes(int from, int to);

}  // namespace trireme
