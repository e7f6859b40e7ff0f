// SPDX-License-Identifier: Apache-2.0
// Ranks as threads of this process, with a complete Communicator between them and no MPI.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "trireme/comm/communicator.hpp"

namespace trireme::test {

struct RankOptions {
  /// Seconds that a rank waits at most; a deadlock of all ranks ends at once.
  double patience = 120;
  /// Not 0: ranks are late at random, and memory of an exchange is in use until somebody waits
  /// for it or is copied at once. Seed of that.
  std::uint64_t delays = 0;
  /// Where to count the bytes of text that rank 0 receives.
  std::size_t* gathered = nullptr;
};

/// Runs `f` as each of `ranks` ranks of one group and returns when all are done. Where a rank
/// throws, all that wait for it throw too; the result is then "rank N: message" of the lowest
/// one that threw by itself, or a report of who waits in which call. Empty where all went well.
///
/// Sums over ranks have the bits of MpiCommunicator's: in rank order where the interface says
/// so, else as Open MPI adds short arrays (recursive doubling).
std::string as_ranks(int ranks, const std::function<void(Communicator&)>& f,
                     const RankOptions& options = {});

}  // namespace trireme::test
