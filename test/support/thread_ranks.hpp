// SPDX-License-Identifier: Apache-2.0
// Ranks as threads of this process, with a complete Communicator between them and no MPI.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "trireme/comm/communicator.hpp"

namespace trireme::test {

struct RankOptions {
  /// A rank waits at most this many seconds. If all ranks wait, the run ends at once.
  double patience = 120;
  /// Seed of random delays; 0: none. Delayed ranks are late at random. A message is then either
  /// copied at once, or uses the sender's memory until some rank waits for the message.
  std::uint64_t delays = 0;
  /// Counts the bytes of text that rank 0 receives, if not null.
  std::size_t* gathered = nullptr;
};

/// Runs `f` as each of `ranks` ranks of one communicator and returns when all have ended. If a
/// rank throws, all ranks that wait for it throw, too. Returns "rank N: message" of the lowest
/// rank that threw by itself, or a report of a deadlock, or "" if all went well.
///
/// Sums over ranks have the bits of MpiCommunicator's. Ranks add in rank order where
/// Communicator promises so, else by recursive doubling, as Open MPI adds short arrays.
std::string as_ranks(int ranks, const std::function<void(Communicator&)>& f,
                     const RankOptions& options = {});

}  // namespace trireme::test
