// SPDX-License-Identifier: Apache-2.0
// metrics.h5: what a run measured, readable while it runs.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trireme/core/clock.hpp"
#include "trireme/h5/file.hpp"

namespace trireme {

/// One training step.
struct StepRecord {
  std::int64_t iteration = 0;
  std::int64_t samples = 0;  ///< consumed so far, this step included
  std::int64_t tokens = 0;   ///< likewise
  double loss = 0;           ///< nats a token, mean over the global batch
  double learning_rate = 0;
  double grad_norm = 0;      ///< before clipping
  double loss_scale = 1;     ///< 1 in fp32
  std::int64_t skipped = 0;  ///< 1 if the update was left out
  double step_seconds = 0;
  double tokens_per_second = 0;
  double tflops_per_rank = 0;
  std::array<double, kPhases> phases{};  ///< seconds, mean over ranks
};

struct EvaluationRecord {
  std::int64_t iteration = 0;
  double loss = 0;
};

/// One checkpoint.
struct SaveRecord {
  std::int64_t iteration = 0;
  std::int64_t bytes = 0;    ///< of all shards
  double stall_seconds = 0;  ///< in which training stood still
  double write_seconds = 0;
  double total_seconds = 0;  ///< from the stop of training to the whole checkpoint
};

struct RankRecord {
  std::string host;
  std::string device;
  std::int64_t peak_bytes = 0;
};

/// Rank 0 alone. The file is closed between changes, and as long as it is below 64 MiB (400,000
/// steps) a change is made to a copy, PATH.tmp, which then takes its name: whenever the program
/// is killed, and whenever others open it, the file is whole. A larger one is changed in place;
/// if a kill damages it, the next run sets it aside as PATH.damaged and begins a new one.
/// What a copy finds no room for is kept in memory, with a warning, until it does.
class Metrics {
 public:
  /// Starts the file anew, or, where it is there already and `iteration` > 0 steps are done,
  /// cuts it back to these. Throws Error where it can't be written.
  Metrics(std::string path, std::int64_t iteration, const std::string& deck,
          const std::string& version, const std::string& mesh);

  void add(const StepRecord& step) { steps_.push_back(step); }
  /// Group "valid" or "test".
  void add(const std::string& group, const EvaluationRecord& evaluation);
  void add(const SaveRecord& save);
  void set_ranks(const std::vector<RankRecord>& ranks);
  /// Writes what was added since the last time.
  void flush();
  /// The same at the end of the run: throws Error where it can't be written.
  void finish();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  using Change = std::function<void(h5::File&)>;

  /// The file to be changed and its place until then.
  [[nodiscard]] std::string begin_change() const;
  void end_change(const std::string& changed) const;
  /// All steps added so far, and what `more` does, now or later: it owns what it needs.
  void change(Change more);
  void write();
  void write_steps(h5::File& file) const;

  std::string path_;
  std::vector<StepRecord> steps_;
  std::vector<Change> changes_;
  std::string late_;  ///< why what was added is not in the file
};

}  // namespace trireme
