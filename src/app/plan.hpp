// SPDX-License-Identifier: Apache-2.0
// The command `trireme plan`.
#pragma once

#include <cstdint>
#include <string>

#include "trireme/deck/load.hpp"

#include "plan_time.hpp"

namespace trireme {

struct PlanOptions {
  int ranks = 0;
  int ranks_per_node = 0;  ///< 0: unknown
  std::string json;        ///< file that receives one JSON object; empty: none
  PlanTimeOptions time;
};
/// Forecasts memory, messages, schedule and checkpoints of a run, on rank 0. With
/// `time.device_memory` but no machine, the forecast says whether a rank fits, and a deck that
/// names no device is planned for GPUs. Returns the program's exit code: 1 if such a rank does
/// not fit, otherwise 0.
[[nodiscard]] int plan(const DeckSource& source, const PlanOptions& options,
                       Communicator& world);

}  // namespace trireme
