// SPDX-License-Identifier: Apache-2.0
// What a training run reports: lines of the log, rows of the metrics, TensorBoard's events.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/record/metrics.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

class TensorBoard;

class TrainLog {
 public:
  /// The run goes on from `iteration`. `gemm_rate`: operations a second, of all ranks together.
  /// `metrics`: on rank 0, or null.
  TrainLog(const Deck& deck, Communicator& world, double gemm_rate, std::int64_t iteration,
           Metrics* metrics);
  ~TrainLog();
  TrainLog(const TrainLog&) = delete;
  TrainLog& operator=(const TrainLog&) = delete;

  /// Whether the deck wants an iteration's timeline.
  [[nodiscard]] bool traces(std::int64_t iteration) const;
  /// Adds one step.
  void add(const Trainer::StepResult& result, const StepTime& time);
  /// Whether an iteration has a line in the log.
  [[nodiscard]] bool line_is_due(std::int64_t iteration) const;
  /// Prints the log's line for the steps since the last line, and adds their rows. Writes the
  /// rows once a write takes little of the time, or after ten seconds. Collective.
  void print_line();
  /// Writes rows, timelines and events of all steps so far, now. Collective.
  void write_rows();
  /// Logs and records an evaluation of "valid" or "test".
  void print_evaluation(const std::string& group, const EvaluationRecord& e);
  /// Logs what a task found. For rank 0.
  void print_task(const TaskRecord& task);
  /// Logs and records what the model says. For rank 0.
  void add(const SampleRecord& samples);
  /// The last known loss and the recent rate, for a progress bar. Empty before the first step.
  [[nodiscard]] std::vector<std::string> news() const;
  /// Logs a summary of the run.
  void print_summary() const;
  /// Records hosts, devices, memory and times of all ranks in the metrics. Collective.
  void record_ranks(const Device& device, const MeshIndex& at);
  /// Calls record_ranks() at the run's end, and logs a line of the memory. Collective.
  void report_ranks(const Device& device, const MeshIndex& at);

 private:
  void report_offload(const OffloadTraffic& moved);
  void add_rows();
  void flush();
  void write_timelines();
  [[nodiscard]] StepRecord record_of(const Trainer::StepResult& result, const StepTime& time);
  void report_traffic(const Trainer::StepResult& result);
  void report_skip(const Trainer::StepResult& result);

  const Deck& deck_;
  Communicator& world_;
  double gemm_rate_;
  std::int64_t started_at_;  ///< iteration at the start
  double started_;           ///< time of the start
  Metrics* metrics_;
  std::vector<StepRecord> interval_;  ///< steps since the last line
  std::size_t written_ = 0;           ///< number of these steps that have rows
  bool traffic_reported_ = false;
  bool compression_reported_ = false;
  bool offload_reported_ = false;
  // This rank's totals of the run so far.
  std::int64_t steps_ = 0;
  double trained_tokens_ = 0;
  std::int64_t tokens_ = 0;  ///< the run's, where sequences grow
  std::int64_t batch_ = 0;   ///< the last step's
  double noise_scale_ = std::numeric_limits<double>::quiet_NaN();  ///< last estimate
  StepTime taken_;
  std::int64_t most_bytes_ = 0;  ///< most memory of any rank, as last recorded
  /// Spans of traced iterations that are not written yet.
  std::vector<std::pair<std::int64_t, std::vector<Span>>> traced_;
  std::unique_ptr<TensorBoard> tensorboard_;  ///< rank 0's
  double flushed_ = now();                    ///< when the files were last written ...
  double flush_seconds_ = 0;                  ///< ... and how long writing took
  double recent_rate_ = 0;                    ///< tokens a second
  double last_loss_ = 0;
  EvaluationRecord best_;  ///< best on "valid"; iteration 0: none yet
};

}  // namespace trireme
