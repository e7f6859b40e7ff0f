// SPDX-License-Identifier: Apache-2.0
// The sum over ranks in the order of the ranks, of arrays on a device: the bits of
// sum_in_rank_order() on the host (comm/rank_sum.hpp).
#pragma once

#include <cuda_runtime.h>

#include "trireme/tensor/tensor.hpp"

namespace trireme::cuda {

/// Where the ranks' addends lie: rank `own`'s at `mine`; those of the others, by rank, `apart`
/// bytes from each other from `others` on. Any number: no table has to fit into a kernel.
struct RankAddends {
  int ranks = 1;
  int own = 0;  ///< `ranks`: all are among the others
  const void* mine = nullptr;
  const std::byte* others = nullptr;
  std::size_t apart = 0;
};

/// to = the sum of the ranks' addends, each of to's count and of type `from`; summed in fp32
/// (fp64 of fp64) and rounded once. With `accumulate` that sum is added to `to`, in the wider
/// of both types and no narrower than fp32. `to`, without gaps, may be one of the addends.
void sum_in_rank_order(cudaStream_t stream, const RankAddends& addends, DType from,
                       const View& to, bool accumulate);

}  // namespace trireme::cuda
