// SPDX-License-Identifier: Apache-2.0
// What a training run reports on the way: lines of the log and rows of the metrics.
#pragma once

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
  /// The run goes on from `iteration`. `gemm_rate`: of all ranks, operations a second.
  /// `metrics`: rank 0's, may be null.
  TrainLog(const Deck& deck, Communicator& world, double gemm_rate, std::int64_t iteration,
           Metrics* metrics);
  ~TrainLog();
  TrainLog(const TrainLog&) = delete;
  TrainLog& operator=(const TrainLog&) = delete;

  /// Whether the deck wants an iteration's timeline.
  [[nodiscard]] bool traces(std::int64_t iteration) const;
  /// One step; `samples` with its own.
  void add(std::int64_t samples, const Trainer::StepResult& result, const StepTime& time);
  /// Whether an iteration has a line in the log.
  [[nodiscard]] bool line_is_due(std::int64_t iteration) const;
  /// Prints the log's line for the steps since the last one, and adds their rows. The rows
  /// reach the file when writing is worth its time: within a second or ten of work. Collective.
  void print_line();
  /// The file's rows, timelines and events for all steps so far, now. Collective.
  void write_rows();
  /// Mean loss on "valid" or "test" after so many iterations.
  void print_evaluation(const std::string& group, std::int64_t iteration, double loss);
  /// The last loss that is known and the recent rate, for a bar. Empty before the first step.
  [[nodiscard]] std::vector<std::string> news() const;
  /// What was done, in a line.
  void print_summary() const;
  /// Hosts, devices, memory and times of all ranks, for the metrics. Collective.
  void record_ranks(const Device& device, const MeshIndex& at);
  /// record_ranks() at the run's end, with a line in the log. Collective.
  void report_ranks(const Device& device, const MeshIndex& at);

 private:
  void add_rows();
  void flush();
  void write_timelines();
  [[nodiscard]] double tokens_per_step() const;

  const Deck& deck_;
  Communicator& world_;
  double gemm_rate_;
  std::int64_t started_at_;  ///< iteration
  double started_;           ///< time
  Metrics* metrics_;
  std::vector<StepRecord> interval_;  ///< steps since the last line
  std::size_t written_ = 0;           ///< number of these that the metrics have
  bool traffic_reported_ = false;
  // This rank's totals of the run so far.
  std::int64_t steps_ = 0;
  StepTime taken_;
  std::int64_t most_bytes_ = 0;  ///< most memory of any rank, as last recorded
  /// Spans of traced iterations that are not written.
  std::vector<std::pair<std::int64_t, std::vector<Span>>> traced_;
  std::unique_ptr<TensorBoard> tensorboard_;  ///< rank 0's
  double flushed_ = now();                    ///< when the files were last written ...
  double flush_seconds_ = 0;                  ///< ... and what that took
  double recent_rate_ = 0;                    ///< tokens a second
  double last_loss_ = 0;
  EvaluationRecord best_;  ///< on valid; iteration 0: none
};

}  // namespace trireme
