// SPDX-License-Identifier: Apache-2.0
// What a training run tells on the way: lines of the log and rows of the metrics.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/record/metrics.hpp"
#include "trireme/train/trainer.hpp"

#include "../../../src/record/tensorboard.hpp"

namespace trireme {

class TrainLog {
 public:
  /// The run goes on from `iteration`. `gemm_rate`: of all ranks, operations a second.
  /// `metrics`: rank 0's, may be null.
  TrainLog(const Deck& deck, Communicator& world, double gemm_rate, std::int64_t iteration,
           Metrics* metrics);

  /// Whether the deck wants an iteration's timeline.
  [[nodiscard]] bool traces(std::int64_t iteration) const;
  /// One step; `samples` with its own.
  void add(std::int64_t samples, const Trainer::StepResult& result, const StepTime& time);
  /// Whether an iteration has a line in the log.
  [[nodiscard]] bool line_is_due(std::int64_t iteration) const;
  /// The log's line for the steps since the last one, and their rows, which reach the file when
  /// that is worth its time: within a second or ten of work. Collective.
  void print_line();
  /// The file's rows, timelines and events for all steps so far, now. Collective.
  void write_rows();
  /// Mean loss on "valid" or "test" after so many iterations.
  void print_evaluation(const std::string& group, std::int64_t iteration, double loss);
  /// The last loss that is known and the rate of late: for a bar. Nothing before a step.
  [[nodiscard]] std::vector<std::string> news() const;
  /// What was done, in a line.
  void print_summary() const;
  /// Hosts, devices, memory and times of all ranks, for the metrics. Collective.
  void record_ranks(const Device& device, const MeshIndex& at);
  /// The same at the run's end, with a line in the log.
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
  std::size_t written_ = 0;           ///< of these, in the metrics
  bool traffic_told_ = false;
  /// Of the run so far, this rank's.
  std::int64_t steps_ = 0;
  StepTime taken_;
  std::int64_t most_bytes_ = 0;  ///< of all ranks' memory, as last recorded
  /// Of traced iterations that are not written.
  std::vector<std::pair<std::int64_t, std::vector<Span>>> traced_;
  std::optional<TensorBoard> tensorboard_;  ///< rank 0's
  double flushed_ = now();                  ///< when the files were last written ...
  double flush_seconds_ = 0;                ///< ... and what that took
  double recent_rate_ = 0;                  ///< tokens a second
  double last_loss_ = 0;
  EvaluationRecord best_;  ///< on valid; iteration 0: none
};

}  // namespace trireme
