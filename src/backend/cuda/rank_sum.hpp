// SPDX-License-Identifier: Apache-2.0
// The sum over ranks in the order of the ranks, of arrays on a device: the bits of
// sum_in_rank_order() on the host (comm/rank_sum.hpp).
#pragma once

#include <cuda_runtime.h>
#include <span>

#include "trireme/tensor/tensor.hpp"

namespace trireme::cuda {

/// What fits into a kernel's parameters.
inline constexpr std::size_t kMaxAddends = 480;

/// to = addends[0] + addends[1] + …, each of to's count and of type `from`; summed in fp32
/// (fp64 of fp64) and rounded once. With `accumulate` that sum is added to `to`, in the wider
/// of both types and no narrower than fp32. `to`, without gaps, may be one of the addends.
void sum_in_rank_order(cudaStream_t stream, std::span<const void* const> addends, DType from,
                       const View& to, bool accumulate);

}  // namespace trireme::cuda
