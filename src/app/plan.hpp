// SPDX-License-Identifier: Apache-2.0
// The command `trireme plan`.
#pragma once

#include <cstdint>
#include <string>

#include "trireme/deck/load.hpp"

namespace trireme {

struct PlanOptions {
  int ranks = 0;
  int ranks_per_node = 0;  ///< 0: unknown
  std::string json;        ///< file that receives one JSON object; empty: none
  /// Bytes of a rank's device. If above 0, the forecast says whether each rank fits, and a deck
  /// that names no device is planned for GPUs.
  std::int64_t device_memory = 0;
};
/// Forecasts memory, messages, schedule and checkpoints of a run, on rank 0. Returns the
/// program's exit code: 1 if a rank does not fit, otherwise 0.
[[nodiscard]] int plan(const DeckSource& source, const PlanOptions& options,
                       Communicator& world);

}  // namespace trireme
