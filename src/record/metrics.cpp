// SPDX-License-Identifier: Apache-2.0
// Columns of metrics.h5.
#include "trireme/record/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <utility>

#include "trireme/core/log.hpp"

#include "columns.hpp"
#include "kept_file.hpp"
#include "metrics_file.hpp"
#include "metrics_questions.hpp"

namespace trireme {

namespace {

struct StepColumn {
  std::string name;
  DType type;
  std::function<double(const StepRecord&)> value;
};

std::vector<StepColumn> step_columns() {
  const auto count = [](std::int64_t n) { return static_cast<double>(n); };
  std::vector<StepColumn> columns = {
      {"iteration", DType::i64, [=](const StepRecord& s) { return count(s.iteration); }},
      {"samples", DType::i64, [=](const StepRecord& s) { return count(s.samples); }},
      {"tokens", DType::i64, [=](const StepRecord& s) { return count(s.tokens); }},
      {"loss", DType::f64, [](const StepRecord& s) { return s.loss; }},
      {"learning_rate", DType::f64, [](const StepRecord& s) { return s.learning_rate; }},
      {"grad_norm", DType::f64, [](const StepRecord& s) { return s.grad_norm; }},
      {"loss_scale", DType::f64, [](const StepRecord& s) { return s.loss_scale; }},
      {"skipped", DType::i64, [=](const StepRecord& s) { return count(s.skipped); }},
      {"step_seconds", DType::f64, [](const StepRecord& s) { return s.step_seconds; }},
      {"tokens_per_second", DType::f64,
       [](const StepRecord& s) { return s.tokens_per_second; }},
      {"tflops_per_rank", DType::f64, [](const StepRecord& s) { return s.tflops_per_rank; }},
  };
  for (std::size_t p = 0; p < kPhases; ++p) {
    columns.push_back({std::string(kPhaseNames[p]), DType::f64,
                       [p](const StepRecord& s) { return s.phases[p]; }});
  }
  return columns;
}

/// Columns that only some runs have.
std::vector<StepColumn> late_columns() {
  const auto count = [](std::int64_t n) { return static_cast<double>(n); };
  return {
      {"auxiliary_loss", DType::f64, [](const StepRecord& s) { return s.auxiliary_loss; }},
      {"batch", DType::i64, [=](const StepRecord& s) { return count(s.batch); }},
      {"sequence_length", DType::i64,
       [=](const StepRecord& s) { return count(s.sequence_length); }},
      {"layer_keep", DType::f64, [](const StepRecord& s) { return s.layer_keep; }},
      {"noise_scale", DType::f64, [](const StepRecord& s) { return s.noise_scale; }},
  };
}

/// The iteration after which a file's rows begin.
constexpr const char* kBegins = "begins_after";

void create_saves(h5::Group& file) {
  for (const char* whole : {"iteration", "bytes"}) {
    file.create_dataset(std::string("checkpoints/") + whole, DType::i64, Shape{0}, kColumn);
  }
  for (const char* real :
       {"stall_seconds", "write_seconds", "total_seconds", "bytes_per_second"}) {
    file.create_dataset(std::string("checkpoints/") + real, DType::f64, Shape{0}, kColumn);
  }
}

void create_columns(h5::Group& file) {
  file.set_attribute("format", std::string("trireme-metrics"));
  file.set_attribute("format_version", std::int64_t{1});
  for (const StepColumn& c : step_columns()) {
    file.create_dataset("train/" + c.name, c.type, Shape{0}, kColumn);
  }
  for (const char* group : {"valid", "test"}) {
    const std::string g = group;
    file.create_dataset(g + "/iteration", DType::i64, Shape{0}, kColumn);
    file.create_dataset(g + "/loss", DType::f64, Shape{0}, kColumn);
    file.create_dataset(g + "/perplexity", DType::f64, Shape{0}, kColumn);
  }
  create_saves(file);
}

/// Calls f on each group of rows that is there.
void for_each_series(h5::File& file, const std::function<void(h5::Group&)>& f) {
  std::vector<std::string> names{"train", "valid", "test", "checkpoints", "timeline"};
  for (const std::string& task : task_groups(file)) names.push_back(task);
  for (const std::string& name : names) {
    if (!file.has(name)) continue;
    h5::Group group = file.group(name);
    f(group);
  }
}

/// Drops rows that not all columns have: a program died while it appended to one after another.
void even(h5::File& file) {
  for_each_series(file, [](h5::Group& group) {
    std::int64_t rows = group.dataset("iteration").shape().count();
    for (const std::string& column : group.names()) {
      rows = std::min(rows, group.dataset(column).shape().count());
    }
    for (const std::string& column : group.names()) group.dataset(column).resize(rows);
  });
}

/// Drops rows of later iterations. Returns the last iteration that is left, or 0.
std::int64_t drop_after(h5::Group& group, std::int64_t iteration) {
  std::vector<std::int64_t> done(
      static_cast<std::size_t>(group.dataset("iteration").shape().count()));
  if (done.empty()) return 0;
  const Shape shape{static_cast<std::int64_t>(done.size())};
  group.dataset("iteration").read(View(done.data(), DType::i64, shape));
  const auto keep = std::ranges::upper_bound(done, iteration) - done.begin();
  for (const std::string& column : group.names()) group.dataset(column).resize(keep);
  return keep == 0 ? 0 : done[static_cast<std::size_t>(keep) - 1];
}

}  // namespace

Metrics::Metrics(std::string path, std::int64_t iteration, const RunAttributes& attributes)
    : path_(std::move(path)), kept_(std::make_unique<KeptFile>()), last_(iteration) {
  const Change fact = [attributes](h5::File& file) {
    for (const auto& [name, value] : attributes) file.set_attribute(name, value);
  };
  facts_.push_back(fact);
  std::error_code error;
  if (iteration == 0 || !std::filesystem::exists(path_, error)) {
    metrics_file::create(path_, [this](h5::File& file) { fill(file); });
  } else {
    try {
      metrics_file::change(path_, even, [&](h5::File& file) {
        shorten(file, iteration);
        fact(file);
      });
    } catch (const Error& e) {  // a run was killed while it wrote, or the disk lost bytes
      if (!metrics_file::is_damage(path_, e)) throw;
      begin_anew(e.what());
    }
  }
  kept_->keep(path_);
}

Metrics::~Metrics() = default;

void Metrics::shorten(h5::File& file, std::int64_t iteration) const {
  if (!file.has("checkpoints")) create_saves(file);  // a file of an earlier version has none
  for_each_series(file, [&](h5::Group& group) { (void)drop_after(group, iteration); });
  drop_samples_after(file, iteration);
  h5::Group train = file.group("train");
  std::int64_t last = drop_after(train, iteration);
  const bool begins = file.has_attribute(kBegins);
  if (last == 0 && !begins) return;
  if (begins) last = std::max(last, file.integer(kBegins));
  if (last < iteration) {
    log::warn(
        "{}: the rows of iterations {} to {} are missing: an earlier start could not write "
        "them before its end",
        path_, last + 1, iteration);
  }
}

void Metrics::add(const StepRecord& step) {
  steps_.push_back(step);
  last_ = step.iteration;
}

void Metrics::change(Change more) {
  changes_.push_back(std::move(more));
  write();
}

void Metrics::describe(Change fact) {
  facts_.push_back(fact);
  change(std::move(fact));
}

std::int64_t Metrics::begins_after() const {
  return steps_.empty() ? last_ : steps_.front().iteration - 1;
}

void Metrics::fill(h5::File& file) const {
  create_columns(file);
  file.set_attribute(kBegins, begins_after());
  for (const Change& fact : facts_) fact(file);
  write_waiting(file);
}

void Metrics::begin_anew(const std::string& reason) {
  const std::string aside =
      metrics_file::set_aside_and_create(path_, [this](h5::File& file) { fill(file); });
  log::warn("{}; {}a new one begins after iteration {}", reason,
            aside.empty() ? "" : fmt::format("the file is kept as {}, and ", aside),
            begins_after());
}

void Metrics::restore() {
  const auto failure = failure_of([this] {
    if (kept_->restore(path_)) {
      log::warn("{}: the file was moved or removed; it is written again, whole", path_);
    }
  });
  static_cast<void>(failure);  // write() meets the reason, too
}

void Metrics::write() {
  restore();
  auto failure = failure_of([this] {
    metrics_file::change(path_, even, [this](h5::File& file) { write_waiting(file); });
  });
  if (failure && metrics_file::is_damage(path_, *failure)) {
    failure = failure_of([&, reason = std::string(failure->what())] { begin_anew(reason); });
  }
  const std::string was_late = std::exchange(late_, failure ? failure->what() : "");
  if (failure) {
    if (was_late.empty()) {
      log::warn("{}; the run's metrics wait until they can be written", late_);
    }
    return;
  }
  kept_->keep(path_);
  steps_.clear();
  changes_.clear();
}

void Metrics::write_waiting(h5::File& file) const {
  write_steps(file);
  for (const Change& change : changes_) change(file);
  describe_columns(file);
}

void Metrics::write_steps(h5::File& file) const {
  if (steps_.empty()) return;
  std::vector<double> values(steps_.size());
  for (const StepColumn& c : step_columns()) {
    std::ranges::transform(steps_, values.begin(), c.value);
    append(file, "train/" + c.name, c.type, values);
  }
  write_late_columns(file);
}

void Metrics::write_late_columns(h5::File& file) const {
  const auto steps = static_cast<std::size_t>(file.dataset("train/loss").shape().count());
  const StepRecord without;
  std::vector<double> values(steps_.size());
  for (const StepColumn& c : late_columns()) {
    std::ranges::transform(steps_, values.begin(), c.value);
    const double usual = c.value(without);
    std::vector<double> column;
    if (!file.has("train/" + c.name)) {
      const bool none = std::ranges::all_of(
          values, [&](double v) { return v == usual || (std::isnan(v) && std::isnan(usual)); });
      if (none) continue;
      file.create_dataset("train/" + c.name, c.type, Shape{0}, kColumn);
      column.assign(steps - steps_.size(), usual);
    }
    column.insert(column.end(), values.begin(), values.end());
    append(file, "train/" + c.name, c.type, column);
  }
}

void Metrics::add(const SaveRecord& save) {
  const auto bytes = static_cast<double>(save.bytes);
  change([save, bytes](h5::File& file) {
    append(file, "checkpoints/iteration", DType::i64, {static_cast<double>(save.iteration)});
    append(file, "checkpoints/bytes", DType::i64, {bytes});
    append(file, "checkpoints/stall_seconds", DType::f64, {save.stall_seconds});
    append(file, "checkpoints/write_seconds", DType::f64, {save.write_seconds});
    append(file, "checkpoints/total_seconds", DType::f64, {save.total_seconds});
    append(file, "checkpoints/bytes_per_second", DType::f64, {bytes / save.write_seconds});
  });
}

void Metrics::flush() {
  if (!steps_.empty() || !changes_.empty()) write();
}

void Metrics::finish() {
  flush();
  TRM_REQUIRE(late_.empty(), "the run's last metrics were not saved: {}", late_);
}

}  // namespace trireme
