// SPDX-License-Identifier: Apache-2.0
// Texts that CMake compiles in.
#include "trireme/host/build_info.hpp"

#include "trireme/backend/cpu.hpp"
#include "trireme/backend/cuda.hpp"
#include "trireme/comm/mpi.hpp"
#include "trireme/h5/file.hpp"

namespace trireme {

const char* const kVersion = TRIREME_VERSION;

std::string version_text() { return fmt::format("{} (git {})", kVersion, kRevision); }

std::string build_text() { return TRIREME_BUILD; }

std::string libraries_text() {
  const std::string cuda = cuda_version();
  return fmt::format("{}\nOpenBLAS {}\nHDF5 {}\n{}", mpi_version(), blas_version(),
                     h5::version(),
                     cuda.empty() ? "CUDA no: this build computes on CPUs" : cuda);
}

}  // namespace trireme
