// SPDX-License-Identifier: Apache-2.0
// Writes weights from anywhere as a checkpoint, in bounded memory and on one rank.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "trireme/checkpoint/state.hpp"
#include "trireme/checkpoint/weight_source.hpp"

namespace trireme {

struct WeightsToWrite {
  WeightSource& source;
  std::optional<DType> type = std::nullopt;  ///< type of every tensor; none: the source's
  /// Called with the bytes written so far; may be empty.
  std::function<void(std::int64_t bytes)> progress = {};
};

/// Makes the folder SAVE with the checkpoint SAVE/global_stepN of the state's iteration, and
/// SAVE/latest. The folder gets its name when all is on disk. Holds about a shard's bytes in
/// memory. Throws Error if SAVE exists, and leaves no folder behind an error.
void write_weights(const std::string& save, const RunState& state, const WeightsToWrite& what);

}  // namespace trireme
