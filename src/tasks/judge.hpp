// SPDX-License-Identifier: Apache-2.0
// What an answer is worth.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "trireme/tasks/run_task.hpp"

#include "questions.hpp"
#include "requests.hpp"

namespace trireme::tasks {

/// The likeliest choice, the first of equals.
[[nodiscard]] std::size_t likeliest(const std::vector<double>& log_likelihoods);
/// Log-likelihoods of choices, divided by what the metric says.
[[nodiscard]] std::vector<double> weighed(Metric metric, const Question& question,
                                          std::span<const RequestScore> scores);
/// The text before the first of `until`.
[[nodiscard]] std::string cut_at(std::string text, const std::vector<std::string>& until);
/// The part of a text that counts as the answer, in the form in which answers are compared.
/// Empty if the task's pattern finds none.
[[nodiscard]] std::string answer_of(const Task& task, const std::string& text);
/// The metric over all questions. `worth` has a number for each: 0 or 1, or a log-likelihood.
[[nodiscard]] Measured measure(Metric metric, std::span<const double> worth);

}  // namespace trireme::tasks
