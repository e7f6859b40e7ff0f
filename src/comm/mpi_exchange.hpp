// SPDX-License-Identifier: Apache-2.0
// Exchanges that MPI alone does not do: sums in rank order, sums of bf16 and fp16.
#pragma once

#include "mpi_calls.hpp"
#include "scratch.hpp"

namespace trireme::mpi {

/// Each rank sends the others their blocks of `from`; done once they are summed into `to`.
/// `pool` serves where `room` is empty.
[[nodiscard]] RequestPtr start_reduce_scatter(MPI_Comm comm, const ConstView& from,
                                              const View& to, bool accumulate, const View& room,
                                              const std::shared_ptr<ScratchPool>& pool);

/// Reduces bf16 or fp16: widens to fp32, reduces there, rounds once.
void all_reduce_halves(MPI_Comm comm, const View& data, Reduction op,
                       const std::shared_ptr<ScratchPool>& pool);

}  // namespace trireme::mpi
