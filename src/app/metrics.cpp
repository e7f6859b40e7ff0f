// SPDX-License-Identifier: Apache-2.0
// Columns of metrics.h5.
#include "metrics.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>

#include "trireme/core/log.hpp"
#include "trireme/h5/file.hpp"

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

}  // namespace

Metrics::Metrics(std::string path, std::int64_t iteration, const std::string& deck,
                 const std::string& version, const std::string& mesh)
    : path_(std::move(path)) {
  bool fresh = iteration == 0 || !std::filesystem::exists(path_);
  if (!fresh) {
    try {
      cut_back(iteration);
    } catch (const Error& e) {  // a run that was killed while it wrote
      std::filesystem::rename(path_, path_ + ".damaged");
      log::warn("{}; it is kept as {}.damaged and a new one begun", e.what(), path_);
      fresh = true;
    }
  }
  if (fresh) create();
  h5::File file(path_, h5::Mode::read_write);
  file.set_attribute("deck", deck);
  file.set_attribute("version", version);
  file.set_attribute("mesh", mesh);
  file.close();
}

void Metrics::create() const {
  h5::File file(path_, h5::Mode::create);
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
  file.close();
}

void Metrics::cut_back(std::int64_t iteration) const {
  h5::File file(path_, h5::Mode::read_write);
  for (const char* name : {"train", "valid", "test"}) {
    h5::Group group = file.group(name);
    std::vector<std::int64_t> done(
        static_cast<std::size_t>(group.dataset("iteration").shape().count()));
    if (done.empty()) continue;
    const Shape shape{static_cast<std::int64_t>(done.size())};
    group.dataset("iteration").read(View(done.data(), DType::i64, shape));
    const auto keep = std::ranges::upper_bound(done, iteration) - done.begin();
    for (const std::string& column : group.names()) group.dataset(column).resize(keep);
  }
  file.close();
}

void Metrics::add(const std::string& group, const EvaluationRecord& evaluation) {
  flush();
  h5::File file(path_, h5::Mode::read_write);
  append(file, group + "/iteration", DType::i64, {static_cast<double>(evaluation.iteration)});
  append(file, group + "/loss", DType::f64, {evaluation.loss});
  append(file, group + "/perplexity", DType::f64, {std::exp(evaluation.loss)});
  file.close();
}

void Metrics::set_ranks(const std::vector<RankRecord>& ranks) {
  std::vector<std::string> hosts;
  std::vector<std::string> devices;
  std::vector<std::int64_t> peaks;
  for (const RankRecord& r : ranks) {
    hosts.push_back(r.host);
    devices.push_back(r.device);
    peaks.push_back(r.peak_bytes);
  }
  h5::File file(path_, h5::Mode::read_write);
  if (file.has("ranks")) file.remove("ranks");
  file.write_texts("ranks/host", hosts);
  file.write_texts("ranks/device", devices);
  const Shape shape{static_cast<std::int64_t>(peaks.size())};
  file.create_dataset("ranks/peak_bytes", DType::i64, shape)
      .write(ConstView(peaks.data(), DType::i64, shape));
  file.close();
}

void Metrics::flush() {
  if (steps_.empty()) return;
  h5::File file(path_, h5::Mode::read_write);
  std::vector<double> values(steps_.size());
  for (const Column& c : step_columns()) {
    std::ranges::transform(steps_, values.begin(), c.value);
    append(file, "train/" + c.name, c.type, values);
  }
  file.close();
  steps_.clear();
}

}  // namespace trireme
