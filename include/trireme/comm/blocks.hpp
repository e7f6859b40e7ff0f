// SPDX-License-Identifier: Apache-2.0
// Checks of a gather's or scatter's arguments: an array of one block a rank, and a block.
#pragma once

#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// Block `rank` of `all`, which holds `ranks` blocks.
[[nodiscard]] ConstView block_of(const ConstView& all, int rank, int ranks);

/// The checks below throw Error with the reason.
/// `to` holds `ranks` blocks of `from`. Both share memory only if `from` is block `rank`.
void check_all_gather(const ConstView& from, const ConstView& to, int rank, int ranks);
/// `from` holds `ranks` blocks of `to`, of the same type.
void check_reduce_scatter(const ConstView& from, const ConstView& to, int ranks);
/// `from` holds `ranks` blocks that can be summed into `to`. Both share memory only if `to` is
/// block `rank` and is overwritten.
void check_reduce_scatter(const ConstView& from, const ConstView& to, bool accumulate, int rank,
                          int ranks);

}  // namespace trireme
