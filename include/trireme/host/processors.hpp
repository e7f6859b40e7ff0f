// SPDX-License-Identifier: Apache-2.0
// The cores of a node that this job may use, and what keeps threads from using them well.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trireme/comm/mpi.hpp"

namespace trireme {

/// Cores of a node, or its hardware threads.
struct NodeShare {
  int all = 1;    ///< for all ranks of the node together
  int mine = 1;   ///< which this rank may use
  int share = 1;  ///< this rank's equal share of them, at least 1
};

/// One byte for each processor of a node: 1 if the processor stands for a core that
/// `processors` has a hardware thread of. Reads /sys below `root`, which is "" except in tests.
[[nodiscard]] std::vector<std::uint8_t> cores_of(const std::vector<std::uint8_t>& processors,
                                                 const std::string& root = "");

/// The cores of this rank's node. The hardware threads of a core count once, since GEMMs keep a
/// core busy with one thread. Collective.
[[nodiscard]] NodeShare node_cores(const MpiSession& mpi);
/// The hardware threads of this rank's node, for work that waits for memory. Collective.
[[nodiscard]] NodeShare node_processors(const MpiSession& mpi);
/// `wanted` threads if above 0, else OMP_NUM_THREADS, else this rank's share of its node.
[[nodiscard]] int threads_of_rank(int wanted, const NodeShare& node);

/// What lets a rank use `threads` cores, in words for a user: options of the launcher that
/// started this process.
[[nodiscard]] std::string how_to_unbind(int threads);
/// Whether Open MPI 4 chose the cores of this process, as it does unless told otherwise. Other
/// launchers don't say.
[[nodiscard]] bool bound_by_launcher();

/// Why the operating system runs this rank's processors or their memory slowly, in words; empty
/// if it doesn't. Reads /sys and /proc below `root`.
[[nodiscard]] std::string slow_setting(const std::vector<std::uint8_t>& processors,
                                       const std::string& root = "");

}  // namespace trireme
