// SPDX-License-Identifier: Apache-2.0
// A task: what to ask a model, and how to judge the answers. A YAML file describes a task.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "trireme/tasks/template.hpp"

namespace re2 {
class RE2;
}

namespace trireme::tasks {

enum class TaskKind : std::uint8_t {
  multiple_choice,  ///< which of several continuations is the likeliest
  log_likelihood,   ///< how likely a continuation is, such as the last word of a text
  generate,         ///< whether the text that the model writes is the answer
};
[[nodiscard]] const char* name_of(TaskKind kind);

enum class Metric : std::uint8_t {
  acc,         ///< multiple choice: the likeliest; log_likelihood: greedy choice gives the text
  acc_norm,    ///< log-likelihoods divided by characters
  acc_bytes,   ///< log-likelihoods divided by bytes
  perplexity,  ///< exp of the mean negative log-likelihood of an example
  exact_match,  ///< generate
};
[[nodiscard]] const char* name_of(Metric metric);

/// A regular expression (RE2), and what stands in its place.
struct Replacing {
  std::shared_ptr<const re2::RE2> pattern;
  std::string text;
};

struct Task {
  std::string file;  ///< the YAML file
  std::string name;
  TaskKind kind = TaskKind::multiple_choice;
  std::vector<Metric> metrics;  ///< those to report
  std::string data;             ///< JSON lines
  Template description;         ///< before everything, as it is
  Template context;
  Texts choices;
  Texts labels;                    ///< names of choices; empty: a target is a number from 0 on
  Texts target;                    ///< several: each is right
  std::string targets;             ///< a file that has the target of each example in a line
  std::string delimiter{" "};      ///< between context and continuation
  std::string separator{"\n\n"};   ///< between shots
  std::vector<Replacing> replace;  ///< in contexts and choices

  int shots = 0;             ///< examples with answers before the question
  std::string shots_data;    ///< empty: `data`, without the example itself
  Template shots_match;      ///< shots are those that give an equal text; empty: all
  bool shots_first = false;  ///< the first ones; otherwise drawn anew for each example

  std::vector<std::string> until;          ///< generate: where the answer ends
  int max_tokens = 64;                     ///< generate
  std::shared_ptr<const re2::RE2> answer;  ///< generate: what counts of a text; null: all of it
  bool ignore_case = false;
  bool ignore_punctuation = false;
};

/// Throws Error that names file and line of what is wrong. Paths of data begin at `folder`, or
/// else at the folder of the file.
[[nodiscard]] Task read_task(const std::string& path, const std::string& folder = "");

/// Throws Error if a file that the task names does not exist.
void require_files(const Task& task);

/// The examples of a file of JSON lines, at most `limit` of them; 0: all. Blank lines are
/// skipped. Throws Error that names the line that is no JSON object.
[[nodiscard]] std::vector<Example> read_examples(const std::string& path,
                                                 std::int64_t limit = 0);
/// The lines of a file, without blank ones at its end.
[[nodiscard]] std::vector<std::string> read_lines(const std::string& path);

}  // namespace trireme::tasks
