// SPDX-License-Identifier: Apache-2.0
// What the CUDA kernels keep allocated: a number that a plan needs in a build without them,
// too.
#pragma once

#include <cstddef>

namespace trireme {

/// Twice the 32 MiB that cuBLAS recommends for compute capability 9.0, and 1 MiB more. The
/// 64 MiB also serve cuDNN's attention for score gradients, and the last one for row sums.
inline constexpr std::size_t kCudaWorkspaceBytes = std::size_t{65} << 20U;

}  // namespace trireme
