// SPDX-License-Identifier: Apache-2.0
// What the CUDA kernels keep allocated: a number that a plan needs in a build without them,
// too.
#pragma once

#include <cstddef>

namespace trireme {

/// Bytes for what lives within one operation: the size that cuBLAS recommends for compute
/// capability 9.0, twice; and the sums of so many rows as cuDNN's attention keeps in that.
inline constexpr std::size_t kCudaWorkspaceBytes = std::size_t{65} << 20U;

}  // namespace trireme
