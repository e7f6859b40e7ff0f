// SPDX-License-Identifier: Apache-2.0
// What this program was made from, and how.
#pragma once

#include <string>

namespace trireme {

extern const char* const kVersion;  ///< "0.1.0"
/// "0123456789ab", "+changes" after it where the source had some that were not committed;
/// "unknown" where it was no repository.
extern const char* const kRevision;

/// "0.1.0 (git 0123456789ab)".
[[nodiscard]] std::string version_text();

/// "GNU 12.2.0, Release: -O3 -g1, kernels for native": compiler, build type and flags.
[[nodiscard]] std::string build_text();

/// Each on its line, by name: MPI, OpenBLAS, HDF5, CUDA with its libraries.
[[nodiscard]] std::string libraries_text();

}  // namespace trireme
