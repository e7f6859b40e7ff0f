// SPDX-License-Identifier: Apache-2.0
// The variables of each launcher.
#include "trireme/comm/launcher.hpp"

#include <array>
#include <charconv>
#include <cstring>

namespace trireme {

namespace {

/// nullptr where a launcher has no such variable.
struct Variables {
  const char* rank;
  const char* processes;
};

constexpr std::array<Variables, 6> kLaunchers{{{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                               {"PMIX_RANK", nullptr},
                                               {"PMI_RANK", "PMI_SIZE"},
                                               {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
                                               {"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"},
                                               {"FLUX_TASK_RANK", "FLUX_JOB_SIZE"}}};

std::optional<int> number(const Environment& environment, const char* variable) {
  const char* text = variable == nullptr ? nullptr : environment(variable);
  if (text == nullptr) return std::nullopt;
  int n = 0;
  if (std::from_chars(text, text + std::strlen(text), n).ec != std::errc()) return std::nullopt;
  return n;
}

}  // namespace

std::optional<int> launched_rank(const Environment& environment) {
  for (const Variables& launcher : kLaunchers) {
    if (const auto rank = number(environment, launcher.rank)) return rank;
  }
  return std::nullopt;
}

LaunchedProcesses launched_processes(const Environment& environment) {
  LaunchedProcesses most;
  for (const Variables& launcher : kLaunchers) {
    const auto count = number(environment, launcher.processes);
    if (count && *count > most.count) most = {*count, launcher.processes};
  }
  return most;
}

}  // namespace trireme
