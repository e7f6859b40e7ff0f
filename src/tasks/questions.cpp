// SPDX-License-Identifier: Apache-2.0
// Questions and shots.
#include "questions.hpp"

#include <algorithm>
#include <charconv>

#include <re2/re2.h>

#include "trireme/core/printable.hpp"
#include "trireme/core/random.hpp"

#include "text_filters.hpp"

namespace trireme::tasks {

namespace {

/// "a", "b" and so on.
std::string quoted(const std::vector<std::string>& texts) {
  std::vector<std::string> shown;
  for (const std::string& text : texts) {
    shown.push_back(fmt::format("\"{}\"", shortened(text, kShown)));
  }
  return fmt::format("{}", fmt::join(shown, ", "));
}

}  // namespace

std::string replaced(const Task& task, std::string text) {
  for (const Replacing& one : task.replace) RE2::GlobalReplace(&text, *one.pattern, one.text);
  return text;
}

Questions::Questions(const Task& task, const std::string& data, const std::string& targets)
    : task_(task), examples_(read_examples(data)) {
  if (targets.empty()) return;
  targets_ = read_lines(targets);
  TRM_REQUIRE(targets_.size() == examples_.size(),
              "{}: there are {} lines for the {} examples of {}", printable(targets),
              targets_.size(), examples_.size(), printable(data));
}

std::size_t Questions::right_choice(const Example& example, const std::string& target,
                                    std::size_t choices) const {
  if (!task_.labels.empty()) {
    const std::vector<std::string> labels = task_.labels.fill(example);
    TRM_REQUIRE(labels.size() == choices, "{}: there are {} labels for {} choices",
                example.place(), labels.size(), choices);
    const auto at = std::ranges::find(labels, target);
    TRM_REQUIRE(at != labels.end(), "{}: the target \"{}\" is none of the labels {}",
                example.place(), shortened(target, kShown), quoted(labels));
    return static_cast<std::size_t>(at - labels.begin());
  }
  std::size_t right = 0;
  const char* const end = target.data() + target.size();
  const auto [stop, code] = std::from_chars(target.data(), end, right);
  TRM_REQUIRE(
      code == std::errc() && stop == end && !target.empty(),
      "{}: the target \"{}\" is no number of a choice; the task's key 'labels' says what "
      "the choices are called",
      example.place(), shortened(target, kShown));
  TRM_REQUIRE(right < choices, "{}: the target is choice {}, counted from 0, of {} choices",
              example.place(), right, choices);
  return right;
}

Question Questions::question(std::size_t i) const {
  const Example& example = examples_[i];
  Question question;
  question.context = replaced(task_, task_.context.fill(example));
  question.answers =
      targets_.empty() ? task_.target.fill(example) : std::vector<std::string>{targets_[i]};
  TRM_REQUIRE(!question.answers.empty(), "{}: there is no target", example.place());
  if (task_.kind != TaskKind::multiple_choice) return question;
  for (std::string& choice : task_.choices.fill(example)) {
    question.choices.push_back(replaced(task_, std::move(choice)));
    TRM_REQUIRE(!question.choices.back().empty(), "{}: choice {} is empty", example.place(),
                question.choices.size() - 1);
  }
  TRM_REQUIRE(question.choices.size() > 1, "{}: {} choice is none to choose from",
              example.place(), question.choices.size());
  TRM_REQUIRE(question.answers.size() == 1, "{}: there are {} targets, but one choice is right",
              example.place(), question.answers.size());
  question.right = right_choice(example, question.answers.front(), question.choices.size());
  return question;
}

Shots::Shots(const Task& task, int count, std::uint64_t seed, const Questions& questions)
    : task_(task), count_(static_cast<std::size_t>(count)), seed_(seed), questions_(questions) {
  if (count_ == 0) return;
  TRM_REQUIRE(
      task.shots_data.empty() || task.targets.empty(),
      "{}: 'targets' has the answers of 'data' alone, so that 'shots_data' needs the key "
      "'target'",
      printable(task.file));
  if (!task.shots_data.empty()) other_.emplace(task, task.shots_data, "");
  const Questions& pool = other_ ? *other_ : questions_;
  for (std::size_t i = 0; i < pool.size(); ++i) {
    pools_[task.shots_match.empty() ? "" : task.shots_match.fill(pool.example(i))].push_back(i);
  }
}

std::vector<std::size_t> Shots::choose(const std::vector<std::size_t>& from,
                                       std::size_t i) const {
  std::vector<std::size_t> chosen;
  const auto take = [&](std::size_t k) {
    const bool is_own = !other_ && k == i;
    if (!is_own && std::ranges::find(chosen, k) == chosen.end()) chosen.push_back(k);
  };
  const RngKey key{seed_, stream_of("shots")};
  for (std::uint32_t draw = 0; chosen.size() < count_; ++draw) {
    if (task_.shots_first) {
      take(from[draw]);
    } else {
      const std::uint64_t word = philox(key, i, draw)[0];
      take(from[static_cast<std::size_t>(word * from.size() >> 32U)]);
    }
  }
  return chosen;
}

std::string Shots::before(std::size_t i) const {
  const Example& example = questions_.example(i);
  std::string text = task_.description.fill(example);
  if (count_ == 0) return text;
  const auto pool =
      pools_.find(task_.shots_match.empty() ? "" : task_.shots_match.fill(example));
  const std::size_t there = pool == pools_.end() ? 0 : pool->second.size();
  const std::size_t others = there - (other_ || there == 0 ? 0 : 1);
  TRM_REQUIRE(others >= count_, "{}: {} shots are asked for, but {} has {} examples for them{}",
              example.place(), count_,
              printable(task_.shots_data.empty() ? task_.data : task_.shots_data), others,
              task_.shots_match.empty() ? "" : " that match");
  const Questions& questions = other_ ? *other_ : questions_;
  for (const std::size_t k : choose(pool->second, i)) {
    const Question shot = questions.question(k);
    text += shot.context + task_.delimiter + shot.answer() + task_.separator;
  }
  return text;
}

}  // namespace trireme::tasks
