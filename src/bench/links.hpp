// SPDX-License-Identifier: Apache-2.0
// Measures communication between ranks, and their disk. All functions are collective over
// `world`. Each figure is the best of a few turns, and in each turn the slowest rank's.
#pragma once

#include <functional>
#include <string>

#include "trireme/comm/communicator.hpp"
#include "trireme/deck/machine.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme {

/// Seconds of `work` on the slowest rank; all ranks begin together.
[[nodiscard]] double together(const Exec& ex, Communicator& world,
                              const std::function<void()>& work);
/// The least of a few measurements after one that sets up.
[[nodiscard]] double best_of_turns(const std::function<double()>& seconds);

/// The connection that each rank has to the next rank of its `ring`, while all ranks send. A
/// message has 16 MiB for the bandwidth, and four bytes for the latency. A ring may have one
/// rank if another ring has more.
[[nodiscard]] Link measure_link(const Exec& ex, Communicator& ring, Communicator& world);

/// Bytes a second that a rank sends in an all-reduce of `everyone`. With n ranks it sends
/// 2 (n − 1) / n of the array: Patarasuk and Yuan 2009, doi 10.1016/j.jpdc.2008.09.002.
[[nodiscard]] double all_reduce_rate(const Exec& ex, Communicator& everyone,
                                     Communicator& world);

/// The share of a gather's time that GEMMs of equal length hide, from 0 to 1. The gather
/// is polled between the GEMMs, like in a training step.
[[nodiscard]] double measure_overlap(const Exec& ex, Communicator& everyone,
                                     Communicator& world);

/// Bytes a second that all ranks together write and sync in `folder`, 64 MiB each. Leaves no
/// file. Throws Error where a rank can't write.
[[nodiscard]] double disk_rate(const std::string& folder, Communicator& world);

}  // namespace trireme
