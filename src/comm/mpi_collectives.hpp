// SPDX-License-Identifier: Apache-2.0
// Collectives that MPI alone does not offer: sums in rank order, sums in half precision.
#pragma once

#include "mpi_calls.hpp"
#include "scratch.hpp"

namespace trireme::mpi {

/// Each rank sends each other rank its block of `from`. The request is done once the blocks are
/// summed into `to`. `pool` gives the memory where `room` is empty.
[[nodiscard]] RequestPtr start_reduce_scatter(MPI_Comm comm, const ConstView& from,
                                              const View& to, bool accumulate, const View& room,
                                              const std::shared_ptr<ScratchPool>& pool);

/// Reduces half precision: widens to fp32, reduces in fp32, rounds once.
void all_reduce_half(MPI_Comm comm, const View& data, Reduction op,
                     const std::shared_ptr<ScratchPool>& pool);

}  // namespace trireme::mpi
