// SPDX-License-Identifier: Apache-2.0
// Partitions a deck's model over the stages of a pipeline. Does not communicate.
#pragma once

#include <vector>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Bounds of the model's pipe_parallel_size × virtual_pipeline_chunks parts in its list of
/// units; see partition(). Throws Error where the method or the number of parts doesn't fit.
[[nodiscard]] std::vector<int> stage_bounds(const DeckSettings& deck);

}  // namespace trireme
