// SPDX-License-Identifier: Apache-2.0
// What metrics.h5 has of a model that is asked: losses on other data, tasks, samples.
#include "metrics_questions.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "trireme/record/metrics.hpp"

#include "columns.hpp"

namespace trireme {

namespace {

constexpr const char* kTasks = "tasks";
constexpr const char* kSamples = "samples";
constexpr const char* kConfusion = "confusion";

}  // namespace

std::string Metrics::task_group(const std::string& task) {
  std::string name = task;
  std::ranges::replace_if(
      name, [](unsigned char c) { return c <= ' ' || c > '~' || c == '/' || c == '.'; }, '_');
  return fmt::format("{}/{}", kTasks, name);
}

namespace {

bool has_row(const std::string& path, const std::string& group, std::int64_t iteration) {
  const h5::File file(path, h5::Mode::read);
  if (!file.has(group)) return false;
  const h5::Dataset column = file.dataset(group + "/iteration");
  std::vector<std::int64_t> at(static_cast<std::size_t>(column.shape().count()));
  if (at.empty()) return false;
  column.read(View(at.data(), DType::i64, column.shape()));
  return std::ranges::find(at, iteration) != at.end();
}

/// confusion/GROUP/ITERATION: samples of class i to which the model gives class j.
void write_confusion(h5::Group& file, const std::string& group,
                     const EvaluationRecord& record) {
  const std::vector<std::int64_t>& counts = record.classes->confusion;
  if (counts.empty()) return;
  const std::string names = fmt::format("{}/classes", kConfusion);
  if (!record.class_names.empty() && !file.has(names)) {
    file.write_texts(names, record.class_names);
  }
  const auto classes =
      static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(counts.size()))));
  const Shape shape{classes, classes};
  const std::string name = fmt::format("{}/{}/{}", kConfusion, group, record.iteration);
  if (file.has(name)) file.remove(name);
  h5::Dataset data = file.create_dataset(name, DType::i64, shape);
  data.write(ConstView(counts.data(), DType::i64, shape));
}

void append_task(h5::Group& file, const TaskRecord& task) {
  const std::string group = Metrics::task_group(task.task);
  if (!file.has(group)) {
    for (const char* name : {"iteration", "questions"}) {
      file.create_dataset(fmt::format("{}/{}", group, name), DType::i64, Shape{0}, kColumn);
    }
  }
  const std::string iterations = group + "/iteration";
  append(file, iterations, DType::i64, {static_cast<double>(task.iteration)});
  append(file, group + "/questions", DType::i64, {static_cast<double>(task.questions)});
  for (const auto& [name, value] : task.values) {
    append_late(file, fmt::format("{}/{}", group, name), iterations, value);
  }
  // A metric that the task no longer has.
  for (const std::string& name : file.group(group).names()) {
    h5::Dataset column = file.dataset(fmt::format("{}/{}", group, name));
    if (column.shape().count() == file.dataset(iterations).shape().count()) continue;
    append(file, fmt::format("{}/{}", group, name), DType::f64,
           {std::numeric_limits<double>::quiet_NaN()});
  }
}

}  // namespace

std::vector<std::string> task_groups(const h5::File& file) {
  std::vector<std::string> groups;
  if (!file.has(kTasks)) return groups;
  for (const std::string& name : file.group(kTasks).names()) {
    groups.push_back(fmt::format("{}/{}", kTasks, name));
  }
  return groups;
}

void drop_samples_after(h5::File& file, std::int64_t iteration) {
  for (const std::string group : {"samples", "confusion/valid", "confusion/test"}) {
    if (!file.has(group)) continue;
    for (const std::string& name : file.group(group).names()) {
      std::int64_t at = 0;
      const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), at);
      const bool later = fault == std::errc() && at > iteration;
      if (later) file.remove(fmt::format("{}/{}", group, name));
    }
  }
}

bool Metrics::has_evaluation(const std::string& group, std::int64_t iteration) const {
  return has_row(path_, group, iteration);
}

bool Metrics::has_task(const std::string& task, std::int64_t iteration) const {
  return has_row(path_, task_group(task), iteration);
}

void Metrics::add(const std::string& group, const EvaluationRecord& evaluation) {
  change([group, evaluation](h5::File& file) {
    const std::string iterations = group + "/iteration";
    append(file, iterations, DType::i64, {static_cast<double>(evaluation.iteration)});
    append(file, group + "/loss", DType::f64, {evaluation.loss});
    append(file, group + "/perplexity", DType::f64, {std::exp(evaluation.loss)});
    const double bits = evaluation.bits_per_byte;
    append_late(file, group + "/bits_per_byte", iterations,
                bits > 0 ? bits : std::numeric_limits<double>::quiet_NaN());
    if (!evaluation.classes) return;
    const ClassScores& scores = *evaluation.classes;
    append_late(file, group + "/accuracy", iterations, scores.accuracy);
    append_late(file, group + "/macro_f1", iterations, scores.macro_f1);
    if (scores.top5 >= 0) append_late(file, group + "/top5_accuracy", iterations, scores.top5);
    write_confusion(file, group, evaluation);
  });
}

void Metrics::add(const TaskRecord& task) {
  change([task](h5::File& file) { append_task(file, task); });
}

void Metrics::add(const SampleRecord& samples) {
  change([samples](h5::File& file) {
    const std::string group = fmt::format("{}/{}", kSamples, samples.iteration);
    if (file.has(group)) file.remove(group);
    file.write_texts(group + "/prompt", samples.prompts);
    file.write_texts(group + "/answer", samples.answers);
  });
}

}  // namespace trireme
