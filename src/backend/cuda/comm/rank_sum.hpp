// SPDX-License-Identifier: Apache-2.0
// Sums arrays on a device over ranks, in rank order. The bits are those of sum_in_rank_order()
// on the host (comm/rank_sum.hpp).
#pragma once

#include <cuda_runtime.h>

#include "trireme/tensor/tensor.hpp"

namespace trireme::cuda {

/// Addresses of the ranks' addends. The addend of rank `own` is at `mine`. The other ranks'
/// addends are in rank order from `others` on, `apart` bytes from each other. Any number of
/// ranks fits, since the kernel needs no table.
struct RankAddends {
  int ranks = 1;
  int own = 0;  ///< equal to `ranks` if all are among the others
  const void* mine = nullptr;
  const std::byte* others = nullptr;
  std::size_t apart = 0;
};

/// to = the sum of the ranks' addends, which have to's count and the type `from`. The sum is in
/// fp32 (fp64 for fp64), rounded once. With `accumulate`, the sum is added to `to` in the wider
/// of both types, at least fp32. `to` has no gaps and may be one of the addends.
void sum_in_rank_order(cudaStream_t stream, const RankAddends& addends, DType from,
                       const View& to, bool accumulate);

}  // namespace trireme::cuda
