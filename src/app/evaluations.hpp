// SPDX-License-Identifier: Apache-2.0
// A run's evaluations: when they are due, and which are missing in the metrics.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trireme/data/samples.hpp"
#include "trireme/record/train_log.hpp"
#include "trireme/train/trainer.hpp"

#include "task_runs.hpp"

namespace trireme {

class Evaluations {
 public:
  /// Rank 0 reads eval_tasks. `asked`: whether this rank knows a request to stop. Collective.
  Evaluations(const Deck& deck, const Exec& ex, const Mesh& mesh, Trainer& trainer,
              std::function<bool()> asked)
      : deck_(deck),
        world_(*mesh.world),
        trainer_(trainer),
        asked_(std::move(asked)),
        tasks_(deck, ex, mesh, trainer) {}

  /// Opens the data of "valid" and "test". For ranks that read tokens.
  void open();
  /// Whether "valid" or tasks are due after this iteration.
  [[nodiscard]] bool due(std::int64_t iteration) const {
    return valid_is_due(iteration) || tasks_.due(iteration);
  }
  /// Evaluates what is due. The metrics of rank 0, or null, get the results, and print() shows
  /// them. Collective.
  void run_due(std::int64_t iteration, Metrics* metrics);
  /// Evaluates what was due after `iteration` and has no row, because an earlier start was
  /// stopped before. Collective.
  void run_missing(std::int64_t iteration, Metrics* metrics);
  /// Logs what was found since the last call.
  void print(TrainLog& log);

  /// Whether "valid" or "test" is due after `iteration` and has no row. `metrics`: on rank 0,
  /// or null. Collective.
  [[nodiscard]] bool missing(const std::string& group, std::int64_t iteration,
                             const Metrics* metrics) const;
  /// The mean loss and what follows from it, which the metrics get too. Empty without such
  /// data, or if a rank gave the evaluation up. Collective.
  [[nodiscard]] std::optional<EvaluationRecord> evaluate(const std::string& group,
                                                         std::int64_t iteration,
                                                         Metrics* metrics);

 private:
  [[nodiscard]] bool valid_is_due(std::int64_t iteration) const;
  /// Whether an iteration in which evaluations were due was trained by an earlier start, into
  /// these metrics. Others say nothing of an evaluation in another folder.
  [[nodiscard]] bool was_trained(std::int64_t iteration, const Metrics* metrics) const;
  [[nodiscard]] bool any_rank(bool here) const {
    return world_.reduce_count(here ? 1 : 0, Reduction::max) != 0;
  }
  void run_tasks(std::int64_t iteration, Metrics* metrics);
  /// Rank 0's tokenizer of `data`, or else the deck's, tells all ranks what text an id stands
  /// for.
  void learn_text_bytes(const std::optional<Samples>& data);

  const Deck& deck_;
  Communicator& world_;
  Trainer& trainer_;
  std::function<bool()> asked_;
  TaskRuns tasks_;
  std::optional<Samples> valid_;
  std::optional<Samples> test_;
  std::optional<std::vector<std::uint16_t>> text_bytes_;  ///< each id's; empty: not known
  std::optional<EvaluationRecord> found_valid_;           ///< not shown yet
  std::vector<TaskRecord> found_tasks_;                   ///< not shown yet
};

}  // namespace trireme
