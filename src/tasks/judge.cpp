// SPDX-License-Identifier: Apache-2.0
// Judges answers.
#include "judge.hpp"

#include <algorithm>

#include <re2/re2.h>

#include "statistics.hpp"
#include "text_filters.hpp"

namespace trireme::tasks {

std::size_t likeliest(const std::vector<double>& log_likelihoods) {
  return static_cast<std::size_t>(std::ranges::max_element(log_likelihoods) -
                                  log_likelihoods.begin());
}

std::vector<double> weighed(Metric metric, const Question& question,
                            std::span<const RequestScore> scores) {
  std::vector<double> values;
  for (std::size_t c = 0; c < scores.size(); ++c) {
    const std::string& choice = question.choices[c];
    const std::size_t weight = metric == Metric::acc_norm    ? characters(choice)
                               : metric == Metric::acc_bytes ? choice.size()
                                                             : 1;
    values.push_back(scores[c].log_likelihood / static_cast<double>(weight));
  }
  return values;
}

std::string cut_at(std::string text, const std::vector<std::string>& until) {
  for (const std::string& stop : until) text.resize(std::min(text.find(stop), text.size()));
  return text;
}

std::string answer_of(const Task& task, const std::string& text) {
  std::string answer = text;
  if (task.answer != nullptr) {
    answer.clear();
    const bool has_group = task.answer->NumberOfCapturingGroups() == 1;
    re2::StringPiece found[2];
    if (task.answer->Match(text, 0, text.size(), RE2::UNANCHORED, found, has_group ? 2 : 1)) {
      answer = std::string(found[has_group ? 1 : 0]);
    }
  }
  if (task.ignore_punctuation) {
    std::erase_if(answer, [](char c) {
      return std::string_view("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~").find(c) !=
             std::string_view::npos;
    });
  }
  if (task.ignore_case) answer = lowered(answer);
  return std::string(stripped(answer));
}

Measured measure(Metric metric, std::span<const double> worth) {
  const Estimate estimate =
      metric == Metric::perplexity ? perplexity_of(worth) : mean_of(worth);
  return {metric, estimate.value, estimate.error};
}

}  // namespace trireme::tasks
