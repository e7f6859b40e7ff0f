// SPDX-License-Identifier: Apache-2.0
// The tasks of a run: what a model in training gets right of eval_tasks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/record/metrics.hpp"
#include "trireme/tasks/task.hpp"
#include "trireme/tokenizer/tokenizer.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

class ModelScorer;

class TaskRuns {
 public:
  /// Reads the tasks on rank 0, and fits all questions into the model once. A fault of a file
  /// so ends the run at its start. Throws Error on all ranks. Collective.
  TaskRuns(const Deck& deck, const Exec& ex, const Mesh& mesh, Trainer& trainer);

  [[nodiscard]] bool due(std::int64_t iteration) const;
  /// Whether tasks are due after `iteration`, and one of them has no row in the metrics of
  /// rank 0. For rank 0.
  [[nodiscard]] bool missing(std::int64_t iteration, const Metrics& metrics) const;
  /// What the tasks found that have no row in `metrics` yet, on rank 0. A task is left out with
  /// a warning if its file can no longer be read or the model's outputs are not finite. Tasks
  /// are left out too once a rank's `asked` gave them up. Collective.
  [[nodiscard]] std::vector<TaskRecord> run(std::int64_t iteration, const Metrics* metrics,
                                            const std::function<bool()>& asked);

 private:
  void read(const Deck& deck);
  void ask(ModelScorer& scorer, std::int64_t iteration, const Metrics* metrics,
           std::vector<TaskRecord>& records);

  const Deck& deck_;
  const Exec& ex_;
  const Mesh& mesh_;
  Trainer& trainer_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<tasks::Task> tasks_;  ///< on rank 0
};

}  // namespace trireme
