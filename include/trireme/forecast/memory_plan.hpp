// SPDX-License-Identifier: Apache-2.0
// The memory that a run will take, planned by its own ranks as it starts, against what is
// there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "trireme/forecast/run_plan.hpp"
#include "trireme/host/rank_facts.hpp"

namespace trireme {

/// What all figures of a table are given in.
struct ByteUnit {
  const char* name;
  double bytes;
};
/// MiB, from 10 GiB on GiB.
[[nodiscard]] ByteUnit unit_for(std::int64_t most);

/// A table of the stages' memory, in two lines of heading and one a stage; of more than `most`
/// stages the first, the last, and that which needs the most.
[[nodiscard]] std::vector<std::string> memory_table(const RunPlan& run, std::size_t most);

/// The plan of this run, on rank 0; each rank that is first in dp plans itself, so that it
/// takes the time of one rank's plan however many there are. Collective.
[[nodiscard]] RunPlan plan_start(const Deck& deck, const Engine& engine, const Mesh& mesh);

/// Where the plan is nearest to what there is: "GPU-3f… of node7: 61.2 of 79.1 GiB". `trouble`
/// is a warning that names both figures; "" where all fits.
struct MemoryCheck {
  std::string tightest;
  std::string trouble;
};
/// `ranks` by rank. What no system tells of is not checked.
[[nodiscard]] MemoryCheck check_memory(const RunPlan& run, const std::vector<RankFacts>& ranks);

}  // namespace trireme
