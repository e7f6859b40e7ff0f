// SPDX-License-Identifier: Apache-2.0
// What rank 0 gathers from all ranks for the metrics: memory, times, and timelines.
#pragma once

#include <cstdint>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/record/metrics.hpp"

namespace trireme {

/// `mine` of every rank, in one collective; empty except on rank 0. Collective.
[[nodiscard]] std::vector<RankRecord> gather_ranks(Communicator& world, const RankRecord& mine);

/// The merged spans of every rank; empty except on rank 0. If the spans are too many to keep, a
/// warning says so and the result is empty everywhere. Collective.
[[nodiscard]] std::vector<std::vector<Span>> gather_spans(Communicator& world,
                                                          std::int64_t iteration,
                                                          const std::vector<Span>& mine);

}  // namespace trireme
