// SPDX-License-Identifier: Apache-2.0
// How a deck cuts its model over the stages of a pipeline. Pure.
#pragma once

#include <vector>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Bounds of the model's pipe_parallel_size × virtual_pipeline_chunks parts in its list of
/// units (see partition()). Throws Error where the method or the number of parts doesn't fit.
[[nodiscard]] std::vector<int> stage_bounds(const DeckSettings& deck);

}  // namespace trireme
