// SPDX-License-Identifier: Apache-2.0
// Sets variables and starts the program again, as libraries have read theirs before main().
#include "trireme/host/process_settings.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <sys/resource.h>
#include <unistd.h>

#include "trireme/backend/cpu.hpp"

namespace trireme {

namespace {

/// About 20 to 100 µs, what waking a thread costs. Loops that follow each other find their
/// threads awake, and a thread that waits for other work sleeps.
constexpr const char* kSpins = "1000";

/// More files than any run opens. Some libraries walk through all numbers below the limit.
constexpr rlim_t kMostFiles = 1 << 20;

}  // namespace

std::vector<std::pair<std::string, std::string>> missing_settings(
    const std::function<const char*(const char*)>& variable) {
  std::vector<std::pair<std::string, std::string>> missing;
  if (variable("OPENBLAS_CORETYPE") == nullptr) {
    if (const auto core = better_blas_core()) missing.emplace_back("OPENBLAS_CORETYPE", *core);
  }
  if (variable("GOMP_SPINCOUNT") == nullptr && variable("OMP_WAIT_POLICY") == nullptr) {
    missing.emplace_back("GOMP_SPINCOUNT", kSpins);
  }
  return missing;
}

void use_process_settings(char** argv) {
  const auto missing = missing_settings(std::getenv);
  if (missing.empty()) return;
  for (const auto& [name, value] : missing) setenv(name.c_str(), value.c_str(), 1);
  execv("/proc/self/exe", argv);
  // If execv fails, the program continues slower; the start screen names the kernels.
}

std::int64_t raise_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t most = std::min(limit.rlim_max, kMostFiles);
  if (limit.rlim_cur < most) {
    rlimit raised = limit;
    raised.rlim_cur = most;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<std::int64_t>(std::min(limit.rlim_cur, kMostFiles));
}

}  // namespace trireme
