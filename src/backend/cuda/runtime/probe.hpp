// SPDX-License-Identifier: Apache-2.0
// What this machine lacks for the CUDA backend.
#pragma once

#include <string>

namespace trireme::cuda {

/// " (CUDA_VISIBLE_DEVICES is '1')" where it is set, else "".
[[nodiscard]] std::string visible_devices();
/// Why GPU `index`, which is there, can't run our kernels; "" if it can.
[[nodiscard]] std::string weakness_of(int index);
/// "2.28", "" in a build without NCCL.
[[nodiscard]] std::string nccl_version();

}  // namespace trireme::cuda
