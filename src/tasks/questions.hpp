// SPDX-License-Identifier: Apache-2.0
// Examples of a task become questions with their answers, and questions get shots.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "trireme/tasks/task.hpp"

namespace trireme::tasks {

/// An example as a model sees it.
struct Question {
  std::string context;               ///< without shots
  std::vector<std::string> choices;  ///< none but in a multiple choice
  std::size_t right = 0;             ///< which of the choices
  std::vector<std::string> answers;  ///< each is right

  /// The answer that a shot shows.
  [[nodiscard]] const std::string& answer() const {
    return choices.empty() ? answers.front() : choices[right];
  }
};

/// The examples of a task's data, with their answers.
class Questions {
 public:
  /// Reads the files. Throws Error that names what is wrong in them.
  Questions(const Task& task, const std::string& data, const std::string& targets);

  [[nodiscard]] std::size_t size() const { return examples_.size(); }
  [[nodiscard]] const Example& example(std::size_t i) const { return examples_[i]; }
  /// Throws Error that names file and line where an example doesn't fit the task.
  [[nodiscard]] Question question(std::size_t i) const;

 private:
  [[nodiscard]] std::size_t right_choice(const Example& example, const std::string& target,
                                         std::size_t choices) const;

  const Task& task_;
  std::vector<Example> examples_;
  std::vector<std::string> targets_;  ///< empty: the task's template gives the target
};

/// What stands before the question of each example.
class Shots {
 public:
  /// `questions` are those that the task asks; both must outlive this.
  Shots(const Task& task, int count, std::uint64_t seed, const Questions& questions);

  /// The description, and the shots before question `i`. Depends on `i`, seed and files
  /// alone, and not on which other questions are asked.
  [[nodiscard]] std::string before(std::size_t i) const;

 private:
  /// Numbers in the pool, none equal to `own`.
  [[nodiscard]] std::vector<std::size_t> choose(const std::vector<std::size_t>& from,
                                                std::size_t i) const;

  const Task& task_;
  std::size_t count_;
  std::uint64_t seed_;
  const Questions& questions_;
  std::optional<Questions> other_;                         ///< shots of another file
  std::map<std::string, std::vector<std::size_t>> pools_;  ///< keys are texts of shots_match
};

/// The text after the task's replacements.
[[nodiscard]] std::string replaced(const Task& task, std::string text);

}  // namespace trireme::tasks
