// SPDX-License-Identifier: Apache-2.0
// Settings of this process that libraries read when they are loaded, and limits of the system.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace trireme {

/// Variables that must be set before libraries are loaded, with their values. OPENBLAS_CORETYPE
/// names better kernels where OpenBLAS does not know this processor. GOMP_SPINCOUNT bounds how
/// long an idle OpenMP thread spins before it sleeps; the usual bound of many milliseconds
/// takes processors from other work. What the user has set stays, OMP_WAIT_POLICY too.
/// `variable` is std::getenv except in tests.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> missing_settings(
    const std::function<const char*(const char*)>& variable);

/// Restarts the program with missing_settings(), and does not return then. Call before anything
/// else.
void use_process_settings(char** argv);

/// Raises this process's limit of open files to the most that the system allows, since every
/// data file stays open. Returns the limit.
std::int64_t raise_open_files();

}  // namespace trireme
