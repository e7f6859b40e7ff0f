// SPDX-License-Identifier: Apache-2.0
// What rank 0 asks all ranks for its metrics: their memory and time, and what they did when.
#pragma once

#include <cstdint>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/record/metrics.hpp"

namespace trireme {

/// `mine` of every rank, in one exchange; empty but on rank 0. Collective.
[[nodiscard]] std::vector<RankRecord> gather_ranks(Communicator& world, const RankRecord& mine);

/// The spans of every rank, merged; empty but on rank 0. If the spans are too many to be kept
/// together, a warning says so and the result is empty everywhere. Collective.
[[nodiscard]] std::vector<std::vector<Span>> gather_spans(Communicator& world,
                                                          std::int64_t iteration,
                                                          const std::vector<Span>& mine);

}  // namespace trireme
