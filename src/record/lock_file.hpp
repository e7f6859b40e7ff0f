// SPDX-License-Identifier: Apache-2.0
// Files of owner locks: their text, and whether the process that they name lives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace trireme::lock_file {

/// "/runs/a/trireme.lock.3".
[[nodiscard]] std::string path_of(const std::string& stem, std::int64_t generation);

/// The highest generation of a lock; 0 if there is none. Throws Error if the folder can't be
/// listed.
[[nodiscard]] std::int64_t highest(const std::string& stem);

/// The text of a lock, which is not trusted.
struct Owner {
  std::string mark;  ///< see process_mark()
  std::string host;
  std::int64_t process = 0;
  std::string started;  ///< the process's start, in ticks of its machine
  std::string machine;  ///< boot and process namespace
  std::string job;      ///< "Slurm job 42", or empty
  std::string since;
  std::string folder;  ///< the absolute path of the lock's folder

  [[nodiscard]] std::string text() const;
  /// "process 4711 on node7 (Slurm job 42) since 2026-11-29 10:00:00 +0000".
  [[nodiscard]] std::string describe() const;
};

/// This process as the owner of STEM.N.
[[nodiscard]] Owner this_process(const std::string& stem, const std::string& since);

/// A lock as it is now.
struct Look {
  std::string text;          ///< empty while its owner writes it
  std::int64_t time_ns = 0;  ///< when the file changed last, by the file system's clock
  Owner owner;
};
/// Empty if the file is not there.
[[nodiscard]] std::optional<Look> look(const std::string& path);

enum class Life : std::uint8_t { alive, dead, unknown };
/// What this machine knows of an owner.
[[nodiscard]] Life life_of(const Owner& owner);

/// Whether the lock came here with a folder that was moved or copied.
[[nodiscard]] bool is_carried_along(const std::string& path, const Look& look);

/// The time that a file of the lock's folder would get now, in nanoseconds; nothing if no file
/// can be made.
[[nodiscard]] std::optional<std::int64_t> time_there(const std::string& stem);

}  // namespace trireme::lock_file
