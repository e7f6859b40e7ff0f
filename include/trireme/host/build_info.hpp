// SPDX-License-Identifier: Apache-2.0
// Version, revision, compiler and libraries of this program.
#pragma once

#include <string>

namespace trireme {

extern const char* const kVersion;  ///< such as "0.1.0"
/// The git revision, "0123456789ab". Uncommitted changes add "+changes"; without a repository
/// the revision is "unknown".
extern const char* const kRevision;

/// Version and revision: "0.1.0 (git 0123456789ab)".
[[nodiscard]] std::string version_text();

/// Compiler, build type and flags: "GNU 12.2.0, Release: -O3 -g1, kernels for native".
[[nodiscard]] std::string build_text();

/// One line each for MPI, OpenBLAS, HDF5, and CUDA with its libraries.
[[nodiscard]] std::string libraries_text();

}  // namespace trireme
