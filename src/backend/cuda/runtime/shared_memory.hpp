// SPDX-License-Identifier: Apache-2.0
// Kernels that ask for much shared memory.
#pragma once

#include <cstddef>

namespace trireme::cuda {

/// Whether `kernel` hasn't asked for so many bytes on this device yet. CUDA is asked only once,
/// because the call takes as long as a launch.
[[nodiscard]] bool asks_for_more(const void* kernel, int device, std::size_t bytes);

}  // namespace trireme::cuda
