// SPDX-License-Identifier: Apache-2.0
// Constants of the backend that only measurements can settle. The environment may change them,
// so that one program can compare.
#pragma once

#include <string>

namespace trireme::cuda {

/// Switches are 0 or 1. All ranks must have equal values.
struct Tuning {
  // Fused epilogues of cuBLASLt. Without them, separate kernels run one after the other.
  int gelu_epilogue = 1;           ///< gelu_tanh; its argument is stored too
  int gelu_gradient_epilogue = 1;  ///< gradient of gelu_tanh
  int bias_gradient_epilogue = 1;  ///< gradient of a bias, with the weight's gradient
  // The search of gemm_autotune.
  int gemm_candidates = 16;  ///< algorithms that are timed
  int gemm_trial_runs = 10;  ///< runs of each algorithm
  // Thread blocks that NCCL's kernels may take from a GPU at once. Kernels for messages wait on
  // the GPU for their sender, during other work.
  int nccl_message_blocks = 4;
  int nccl_collective_blocks = 16;
  int nccl_first_mib = 32;    ///< MiB that the first gather and the first messages move
  int nccl_short_sum = 8192;  ///< shorter sums are gathered whole, and every rank adds them
  int column_parts = 264;     ///< partial sums over rows, at most: two for each of 132
                              ///< multiprocessors. Other numbers give other bits
};

/// Reads "name=value,name=value". Throws Error if a name is unknown or a value out of range.
[[nodiscard]] Tuning tuning_of(const std::string& text);
/// What TRIREME_CUDA_TUNING says.
[[nodiscard]] Tuning tuning_of_environment();

}  // namespace trireme::cuda
