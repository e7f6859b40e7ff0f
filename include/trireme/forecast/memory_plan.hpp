// SPDX-License-Identifier: Apache-2.0
// Forecasts the memory of a run as the run starts, and compares the forecast with the memory
// available. The run's own ranks make the forecast.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "trireme/forecast/run_plan.hpp"
#include "trireme/host/rank_facts.hpp"

namespace trireme {

/// The unit in which all figures of a table are given.
struct ByteUnit {
  const char* name;
  double bytes;
};
/// MiB for figures up to 10 GiB, otherwise GiB.
[[nodiscard]] ByteUnit unit_for(std::int64_t most);

/// "61.2 GiB", "812.0 MiB".
[[nodiscard]] std::string size_text(std::int64_t bytes);

/// A table of the stages' memory: two lines of heading and one line a stage. A GPU's memory and
/// the host's stand apart. With more than `most` stages, the table has only the first, the last
/// and the largest stage.
[[nodiscard]] std::vector<std::string> memory_table(const RunPlan& run, std::size_t most);

/// Bytes of the optimizer's state in files: the most that a rank has.
[[nodiscard]] std::int64_t most_in_files(const RunPlan& run);

/// The stage whose ranks need the most memory of their device.
[[nodiscard]] std::size_t largest_stage(const RunPlan& run);

/// Why stages wait longer than the formula of equal stages says, in one line; "" if they don't.
[[nodiscard]] std::string why_stages_wait(const Deck& deck, const RunPlan& run);

/// What a rank needs besides arrays, in bytes. On CPUs this is the process; on GPUs, it is what
/// the device holds for CUDA and for communication.
struct Besides {
  std::int64_t process = 0;
  std::int64_t context = 0;
  std::int64_t communication = 0;
  [[nodiscard]] std::int64_t sum() const { return process + context + communication; }
};
[[nodiscard]] Besides besides_arrays(const Deck& deck, const RunPlan& run);

/// The forecast of this run, on rank 0. Each rank with dp index 0 runs its own forecast, so the
/// time needed is that of one rank whatever their number. Collective.
[[nodiscard]] RunPlan plan_start(const Deck& deck, const Engine& engine, const Mesh& mesh);

/// `tightest` names the node or GPU that is used most: "GPU-3f… of node7: 61.2 of 79.1 GiB".
/// `trouble` is a warning that names both figures; "" where all fits.
struct MemoryCheck {
  std::string tightest;
  std::string trouble;
  bool far_too_much = false;  ///< above a GPU's memory, or 1.25 times a host's
};
/// The most data files that a rank holds open: each part of `split` opens a file anew.
[[nodiscard]] std::int64_t count_data_files(const DeckSettings& deck);

/// Expects `ranks` in rank order. Memory whose size is unknown is not checked. Every rank keeps
/// `data_files` open.
[[nodiscard]] MemoryCheck check_memory(const RunPlan& run, const std::vector<RankFacts>& ranks,
                                       std::int64_t data_files);

}  // namespace trireme
