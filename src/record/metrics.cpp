// SPDX-License-Identifier: Apache-2.0
// Columns of metrics.h5.
#include "trireme/record/metrics.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>

#include "trireme/core/log.hpp"
#include "trireme/core/replacement.hpp"

#include "kept_file.hpp"

namespace trireme {

namespace {

struct Column {
  std::string name;
  DType type;
  std::function<double(const StepRecord&)> value;
};

std::vector<Column> step_columns() {
  const auto count = [](std::int64_t n) { return static_cast<double>(n); };
  std::vector<Column> columns = {
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

void append(h5::Group& file, const std::string& name, DType type,
            const std::vector<double>& values) {
  h5::Dataset d = file.dataset(name);
  const Shape shape{static_cast<std::int64_t>(values.size())};
  if (type == DType::f64) {
    d.append(ConstView(values.data(), DType::f64, shape));
    return;
  }
  std::vector<std::int64_t> whole(values.begin(), values.end());
  d.append(ConstView(whole.data(), DType::i64, shape));
}

constexpr h5::DatasetOptions kColumn{.extendable = true, .chunk = 1024};

/// A smaller file is copied at each change, which takes at most some hundredths of a second.
constexpr std::uintmax_t kCopied = std::uintmax_t{64} << 20U;

/// More bytes than a new chunk of each column takes.
constexpr std::uintmax_t kGrowth = std::uintmax_t{1} << 19U;

void create_saves(h5::Group& file) {
  for (const char* whole : {"iteration", "bytes"}) {
    file.create_dataset(std::string("checkpoints/") + whole, DType::i64, Shape{0}, kColumn);
  }
  for (const char* real :
       {"stall_seconds", "write_seconds", "total_seconds", "bytes_per_second"}) {
    file.create_dataset(std::string("checkpoints/") + real, DType::f64, Shape{0}, kColumn);
  }
}

h5::File create(const std::string& path) {
  h5::File file(path, h5::Mode::create);
  file.set_attribute("format", std::string("trireme-metrics"));
  file.set_attribute("format_version", std::int64_t{1});
  for (const Column& c : step_columns()) {
    file.create_dataset("train/" + c.name, c.type, Shape{0}, kColumn);
  }
  for (const char* group : {"valid", "test"}) {
    const std::string g = group;
    file.create_dataset(g + "/iteration", DType::i64, Shape{0}, kColumn);
    file.create_dataset(g + "/loss", DType::f64, Shape{0}, kColumn);
    file.create_dataset(g + "/perplexity", DType::f64, Shape{0}, kColumn);
  }
  create_saves(file);
  return file;
}

h5::File shorten(const std::string& path, std::int64_t iteration) {
  h5::File file(path, h5::Mode::read_write);
  if (!file.has("checkpoints")) create_saves(file);  // a file of an earlier version has none
  std::vector<std::string> groups{"train", "valid", "test", "checkpoints"};
  if (file.has("timeline")) groups.emplace_back("timeline");
  for (const std::string& name : groups) {
    h5::Group group = file.group(name);
    std::vector<std::int64_t> done(
        static_cast<std::size_t>(group.dataset("iteration").shape().count()));
    if (done.empty()) continue;
    const Shape shape{static_cast<std::int64_t>(done.size())};
    group.dataset("iteration").read(View(done.data(), DType::i64, shape));
    const auto keep = std::ranges::upper_bound(done, iteration) - done.begin();
    for (const std::string& column : group.names()) group.dataset(column).resize(keep);
  }
  return file;
}

}  // namespace

Metrics::Metrics(std::string path, std::int64_t iteration, const RunAttributes& attributes)
    : path_(std::move(path)), kept_(std::make_unique<KeptFile>()) {
  std::optional<Replacement> copy;
  h5::File file;
  bool goes_on = false;
  if (iteration > 0 && std::filesystem::exists(path_)) {
    if (!is_large()) copy_to(copy.emplace(path_).temporary());
    try {
      file = shorten(copy ? copy->temporary() : path_, iteration);
      goes_on = true;
    } catch (const Error& e) {  // a run was killed while it wrote
      std::filesystem::rename(path_, path_ + ".damaged");
      log::warn("{}; the file is kept as {}.damaged and a new one begun", e.what(), path_);
    }
  }
  if (!goes_on) file = create(copy.emplace(path_).temporary());
  for (const auto& [name, value] : attributes) file.set_attribute(name, value);
  file.close();
  if (copy) copy->commit(Durability::process);
  kept_->keep(path_);
}

Metrics::~Metrics() = default;

bool Metrics::is_large() const {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path_, error);
  return !error && bytes >= kCopied;
}

void Metrics::copy_to(const std::string& copy) const {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path_, error);
  const auto space = std::filesystem::space(path_, error);
  TRM_REQUIRE_SYSTEM(error || space.available >= bytes + kGrowth, ENOSPC, "{}: cannot create",
                     copy);
  std::filesystem::copy_file(path_, copy, std::filesystem::copy_options::overwrite_existing,
                             error);
  TRM_REQUIRE_SYSTEM(!error, error.value(), "{}: cannot copy to {}", path_, copy);
}

void Metrics::change(Change more) {
  changes_.push_back(std::move(more));
  write();
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
  if (is_large()) {
    write_to(path_);
    late_.clear();
  } else {
    const auto failure = failure_of([this] {
      Replacement copy(path_);
      copy_to(copy.temporary());
      write_to(copy.temporary());
      copy.commit(Durability::process);  // waiting for the disk would hold up training
    });
    const std::string was_late = std::exchange(late_, failure ? failure->what() : "");
    if (failure) {
      if (was_late.empty()) {
        log::warn("{}; the run's metrics wait until they can be written", late_);
      }
      return;
    }
  }
  kept_->keep(path_);
  steps_.clear();
  changes_.clear();
}

void Metrics::write_to(const std::string& path) const {
  h5::File file(path, h5::Mode::read_write);
  write_steps(file);
  for (const Change& change : changes_) change(file);
  file.close();
}

void Metrics::write_steps(h5::File& file) const {
  if (steps_.empty()) return;
  std::vector<double> values(steps_.size());
  for (const Column& c : step_columns()) {
    std::ranges::transform(steps_, values.begin(), c.value);
    append(file, "train/" + c.name, c.type, values);
  }
  write_auxiliary_losses(file);
}

void Metrics::write_auxiliary_losses(h5::File& file) const {
  const std::string name = "train/auxiliary_loss";
  std::vector<double> values(steps_.size());
  std::ranges::transform(steps_, values.begin(), &StepRecord::auxiliary_loss);
  if (!file.has(name)) {
    if (std::ranges::all_of(values, [](double v) { return v == 0; })) return;
    file.create_dataset(name, DType::f64, Shape{0}, kColumn);
    const auto steps = static_cast<std::size_t>(file.dataset("train/loss").shape().count());
    values.insert(values.begin(), steps - steps_.size(), 0.0);
  }
  append(file, name, DType::f64, values);
}

void Metrics::add(const std::string& group, const EvaluationRecord& evaluation) {
  change([group, evaluation](h5::File& file) {
    append(file, group + "/iteration", DType::i64, {static_cast<double>(evaluation.iteration)});
    append(file, group + "/loss", DType::f64, {evaluation.loss});
    append(file, group + "/perplexity", DType::f64, {std::exp(evaluation.loss)});
  });
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
