// SPDX-License-Identifier: Apache-2.0
// metrics.h5: what a run measured, readable while it runs.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "trireme/core/clock.hpp"
#include "trireme/forecast/run_plan.hpp"
#include "trireme/h5/file.hpp"

namespace trireme {

/// One training step.
struct StepRecord {
  std::int64_t iteration = 0;
  std::int64_t samples = 0;   ///< consumed so far, this step included
  std::int64_t tokens = 0;    ///< likewise
  double loss = 0;            ///< nats a token, mean over the global batch
  double auxiliary_loss = 0;  ///< what modules added to it
  double learning_rate = 0;
  double grad_norm = 0;      ///< before clipping
  double loss_scale = 1;     ///< 1 in fp32
  std::int64_t skipped = 0;  ///< 1 if the update was left out
  double step_seconds = 0;
  double tokens_per_second = 0;
  double tflops_per_rank = 0;
  std::array<double, kPhases> phases{};  ///< seconds, mean over ranks
  double ended = 0;                      ///< seconds since 1970
};

struct EvaluationRecord {
  std::int64_t iteration = 0;
  double loss = 0;
};

/// One checkpoint.
struct SaveRecord {
  std::int64_t iteration = 0;
  std::int64_t bytes = 0;    ///< size of all shards
  double stall_seconds = 0;  ///< in which training stood still
  double write_seconds = 0;
  double total_seconds = 0;  ///< from the stop of training to the whole checkpoint
};

/// One rank, and what its steps took.
struct RankRecord {
  std::string host;
  std::string device;
  MeshIndex at;
  std::int64_t peak_bytes = 0;             ///< the process's; on a GPU, its arrays'
  std::int64_t arrays_peak_bytes = 0;      ///< in use
  std::int64_t arrays_reserved_bytes = 0;  ///< taken from the system
  double step_seconds = 0;                 ///< mean of the steps, as are the phases
  std::array<double, kPhases> phases{};
};

/// What the file's attributes say of the run.
using RunAttributes = std::vector<std::pair<std::string, h5::Attribute>>;
[[nodiscard]] RunAttributes run_attributes(const Deck& deck, const MeshShape& mesh);

/// Rank 0 alone. The file is closed between changes. Below 64 MiB (400,000 steps) a change is
/// made to a copy, PATH.tmp, which then takes the file's name. The file is therefore whole
/// whenever the program is killed or others open it. A larger file is changed in place. If a
/// kill damages the file, the next run sets it aside as PATH.damaged and begins a new one. Rows
/// that find no room on the disk stay in memory, with a warning, until there is room.
class Metrics {
 public:
  /// Starts the file anew, or, where it is there already and `iteration` > 0 steps are done,
  /// cuts it back to these. Throws Error where it can't be written.
  Metrics(std::string path, std::int64_t iteration, const RunAttributes& attributes);

  void add(const StepRecord& step) { steps_.push_back(step); }
  /// Group "valid" or "test".
  void add(const std::string& group, const EvaluationRecord& evaluation);
  void add(const SaveRecord& save);
  void set_plan(const std::vector<StagePlan>& stages);
  /// `ranks` by rank; their means are of the last `steps` steps.
  void set_ranks(const std::vector<RankRecord>& ranks, std::int64_t steps);
  /// Each rank's spans in a traced iteration. Iterations come in order.
  void add_timeline(std::int64_t iteration, const std::vector<std::vector<Span>>& ranks);
  /// Writes what was added since the last time.
  void flush();
  /// flush() at the end of the run: throws Error where it can't be written.
  void finish();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  using Change = std::function<void(h5::File&)>;

  /// Too large to be copied at each change.
  [[nodiscard]] bool is_large() const;
  void copy_to(const std::string& copy) const;
  /// All steps added so far, and what `more` does, now or later: it owns what it needs.
  void change(Change more);
  void write();
  void write_to(const std::string& path) const;
  void write_steps(h5::File& file) const;
  /// The column is there once a step has had an auxiliary loss, with zeros for those before.
  void write_auxiliary_losses(h5::File& file) const;

  std::string path_;
  std::vector<StepRecord> steps_;
  std::vector<Change> changes_;
  bool ranks_known_ = false;  ///< /ranks is of this start of the program
  std::string late_;          ///< why what was added is not in the file
};

}  // namespace trireme
