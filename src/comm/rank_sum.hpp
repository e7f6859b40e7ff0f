// SPDX-License-Identifier: Apache-2.0
// The sum over ranks in the order of the ranks, whatever the types.
#pragma once

#include <vector>

#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// to = blocks[0] + blocks[1] + …, each of to's count and of type `from`; summed in fp32 (fp64
/// of fp64) and rounded once. With `accumulate` that sum is added to `to`, in the wider of
/// both types and no narrower than fp32. `to` may be one of the blocks.
void sum_in_rank_order(const std::vector<const void*>& blocks, DType from, const View& to,
                       bool accumulate);

}  // namespace trireme
