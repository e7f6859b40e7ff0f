// SPDX-License-Identifier: Apache-2.0
// The command `trireme verify`.
#pragma once

#include <string>
#include <vector>

#include "trireme/comm/mpi.hpp"
#include "trireme/deck/load.hpp"

namespace trireme {

struct VerifyOptions {
  int steps = 2;
  std::string json;                      ///< file that receives one JSON object; empty: none
  bool all = false;                      ///< print every tensor, not the worst alone
  std::vector<std::string> checkpoints;  ///< two to compare instead of a layout, or none
};
/// Holds the deck's layout against one rank, and prints what differs. Returns the exit code on
/// every rank: 0 if all agrees within the bounds, else 1. Collective.
[[nodiscard]] int verify(const DeckSource& source, const VerifyOptions& options,
                         const MpiSession& mpi);

}  // namespace trireme
