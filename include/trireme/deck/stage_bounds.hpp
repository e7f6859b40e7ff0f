// SPDX-License-Identifier: Apache-2.0
// Partitions a deck's model over the stages of a pipeline. Does not communicate.
#pragma once

#include <string>
#include <vector>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Bounds of the model's pipe_parallel_size × virtual_pipeline_chunks parts in its list of
/// units; see partition(). Throws Error where the method or the number of parts doesn't fit.
[[nodiscard]] std::vector<int> stage_bounds(const DeckSettings& deck);

/// The method that balances operations.
inline constexpr const char* kByOperations = "flops";

/// Operations of the largest model part over the mean of all, less 1, if a method partitions
/// the units. Throws Error as stage_bounds() does.
[[nodiscard]] double stage_imbalance(const DeckSettings& deck, const std::string& method);

/// The layers among units [begin, end) of a deck's model: the first one's number, and how many.
struct Layers {
  std::int64_t first = 0;
  std::int64_t count = 0;
};
[[nodiscard]] Layers layers_between(const DeckSettings& deck, int begin, int end);

}  // namespace trireme
