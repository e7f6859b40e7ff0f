// SPDX-License-Identifier: Apache-2.0
// Asks a model all questions of a task, and judges its answers.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "trireme/tasks/scorer.hpp"
#include "trireme/tasks/task.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme::tasks {

struct RunOptions {
  std::int64_t limit = 0;      ///< questions of the task, from the first on; 0: all
  std::optional<int> shots{};  ///< instead of the task's
  std::uint64_t seed = 1234;   ///< for the choice of shots
  /// Gets an object for each question: its line, context, answers, and what the model did.
  std::function<void(const nlohmann::ordered_json& sample)> on_sample{};
  std::function<void(std::size_t done, std::size_t total)> on_progress{};
};

struct Measured {
  Metric metric;
  double value = 0;
  std::optional<double> error{};  ///< the standard error, unless there is one question alone
};

struct TaskResult {
  std::string name;
  TaskKind kind = TaskKind::multiple_choice;
  int shots = 0;
  std::int64_t questions = 0;
  std::vector<Measured> measured{};
};

/// Throws Error that names file and line where task, data and model don't fit.
[[nodiscard]] TaskResult run_task(const Task& task, const Tokenizer& tokenizer, Scorer& scorer,
                                  const RunOptions& options);

}  // namespace trireme::tasks
