// SPDX-License-Identifier: Apache-2.0
// The sum over ranks in the order of the ranks, whatever the types.
#pragma once

#include <vector>

#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// to = blocks[0] + blocks[1] + …, where each block has to's count and type `from`. Sums are
/// taken in fp32, or in fp64 if `from` is fp64, and rounded once. `accumulate` adds the sum to
/// `to`, in the wider of both types and at least in fp32. `to` may be one of the blocks.
void sum_in_rank_order(const std::vector<const void*>& blocks, DType from, const View& to,
                       bool accumulate);

}  // namespace trireme
