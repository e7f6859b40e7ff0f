// SPDX-License-Identifier: Apache-2.0
// Files that are replaced as a whole: readers, and a program after a crash, find the old one or
// the new one, never less.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace trireme {

// All throw Error with the path, the system's reason and its errno.

/// Waits until a file's content, or a folder's list of names, is on disk.
void sync_to_disk(const std::string& path);

/// `from` gets the name `to`, and replaces a file, or a folder without content, of that name.
void rename_path(const std::string& from, const std::string& to);

enum class Durability : std::uint8_t {
  process,  ///< the file is whole when the program is killed
  power,    ///< the file is whole when the power fails: the caller waits for the disk
};

/// The mark of this process in temporary names: "4711-9f3a21c0". No other process has it, on no
/// host.
[[nodiscard]] std::string process_mark();
/// "PATH.MARK.tmp".
[[nodiscard]] std::string temporary_name(const std::string& path, const std::string& mark);
/// BASE, where `name` is "BASE.MARK.tmp" of any process, or the "BASE.tmp" of earlier versions.
/// Empty for any other name.
[[nodiscard]] std::optional<std::string> base_of_temporary(const std::string& name);

/// The new content of a file, under a name of its own until it is complete.
class Replacement {
 public:
  /// For the file `path`, which may be there or not. Creates the empty file temporary(), which
  /// the caller fills and closes before commit(). The temporary name was free: no link is
  /// followed. Throws Error if something other than a file stands at `path`.
  explicit Replacement(std::string path);
  /// Without a commit(): removes the temporary file, and gives its space back even if it can't
  /// be closed. `path` stays as it was.
  ~Replacement();
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  /// PATH.MARK.tmp, with the mark of this process.
  [[nodiscard]] const std::string& temporary() const { return temporary_; }
  /// The temporary file takes the place of `path`. With Durability::power its bytes are on disk
  /// before that, and its name is when this returns.
  void commit(Durability durability);

 private:
  std::string path_;
  std::string temporary_;
  bool committed_ = false;
};

/// Replaces the content of the file `path`.
void replace_text(const std::string& path, const std::string& text, Durability durability);

}  // namespace trireme
