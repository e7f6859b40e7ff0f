// SPDX-License-Identifier: Apache-2.0
// Reports what this machine lacks for the CUDA backend.
#pragma once

#include <string>

namespace trireme::cuda {

/// Returns " (CUDA_VISIBLE_DEVICES is '1')" if the variable is set, else "".
[[nodiscard]] std::string visible_devices();
/// Says why GPU `index` can't run the program's kernels; "" if the GPU can.
[[nodiscard]] std::string weakness_of(int index);
/// Version of NCCL, such as "2.28"; "" in a build without NCCL.
[[nodiscard]] std::string nccl_version();

}  // namespace trireme::cuda
