// SPDX-License-Identifier: Apache-2.0
// What a launcher says of this process in its environment, before MPI runs.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace trireme {

/// The value of a variable, or nullptr: std::getenv.
using Environment = std::function<const char*(const char*)>;

/// This process's rank in its launch; nothing if no launcher gives a rank. If several launchers
/// give a rank (srun within mpirun), the launcher nearest to MPI counts.
[[nodiscard]] std::optional<int> launched_rank(const Environment& environment);

/// The most processes that a launcher reports to have started, and the variable with the count.
/// The count is 0 if no launcher gives a count.
struct LaunchedProcesses {
  int count = 0;
  std::string variable;
};
[[nodiscard]] LaunchedProcesses launched_processes(const Environment& environment);

}  // namespace trireme
