// SPDX-License-Identifier: Apache-2.0
// `trireme plan`.
#pragma once

#include <string>

#include "trireme/deck/load.hpp"

namespace trireme {

struct PlanOptions {
  int ranks = 0;
  int ranks_per_node = 0;  ///< 0: not known
  std::string json;        ///< file to write one object to; empty: none
};
/// `trireme plan`: memory, messages, schedule and checkpoint of a run, on rank 0.
void plan(const DeckSource& source, const PlanOptions& options, Communicator& world);

}  // namespace trireme
