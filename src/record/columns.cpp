// SPDX-License-Identifier: Apache-2.0
// The table of columns of metrics.h5, as attributes that other programs can read.
#include "columns.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "metrics_questions.hpp"

namespace trireme {

namespace {

struct Column {
  const char* path;
  const char* name;
  const char* unit;
};

constexpr Column kColumns[] = {
    {"train/iteration", "iterations done", "1"},
    {"train/samples", "samples consumed", "samples"},
    {"train/tokens", "tokens consumed", "tokens"},
    {"train/loss", "mean loss of the global batch, before the update", "nats per token"},
    {"train/auxiliary_loss", "loss that modules added", "nats per token"},
    {"train/batch", "samples of the step", "samples"},
    {"train/sequence_length", "tokens of each sample that were used", "tokens"},
    {"train/layer_keep", "share of micro-batches that the last layer processes", "1"},
    {"train/noise_scale", "gradient noise scale, where a window of steps ends", "samples"},
    {"train/learning_rate", "learning rate", "1"},
    {"train/grad_norm", "norm of the gradient, before clipping", "1"},
    {"train/loss_scale", "loss scale", "1"},
    {"train/skipped",
     "1 if gradients overflowed or were an outlier, and the update was left out", "1"},
    {"train/step_seconds", "time of the step", "s"},
    {"train/tokens_per_second", "rate of all ranks together", "tokens/s"},
    {"train/tflops_per_rank", "rate of a rank", "TFLOP/s"},
    {"train/data", "waiting for tokens, mean over ranks", "s"},
    {"train/forward", "forward, mean over ranks", "s"},
    {"train/backward", "backward, mean over ranks", "s"},
    {"train/reduce", "reduction of gradients, mean over ranks", "s"},
    {"train/pipeline_wait", "waiting for other stages, mean over ranks", "s"},
    {"train/optimizer", "update, mean over ranks", "s"},
    {"train/checkpoint", "saving while training waits, mean over ranks", "s"},
    {"valid/iteration", "iterations done", "1"},
    {"valid/loss", "mean validation loss", "nats per token"},
    {"valid/perplexity", "exp(loss)", "1"},
    {"valid/accuracy", "share of samples whose class the model gives", "1"},
    {"valid/top5_accuracy", "share of samples whose class is among the five likeliest", "1"},
    {"valid/macro_f1", "mean F1 of the classes", "1"},
    {"valid/bits_per_byte", "loss over the bytes of text", "bits/byte"},
    {"test/iteration", "iterations done", "1"},
    {"test/loss", "mean test loss", "nats per token"},
    {"test/perplexity", "exp(loss)", "1"},
    {"test/accuracy", "share of samples whose class the model gives", "1"},
    {"test/top5_accuracy", "share of samples whose class is among the five likeliest", "1"},
    {"test/macro_f1", "mean F1 of the classes", "1"},
    {"test/bits_per_byte", "loss over the bytes of text", "bits/byte"},
    {"checkpoints/iteration", "iterations done", "1"},
    {"checkpoints/bytes", "size of all tensors", "bytes"},
    {"checkpoints/stall_seconds", "time that training stood still", "s"},
    {"checkpoints/write_seconds", "until all shards were on disk", "s"},
    {"checkpoints/total_seconds", "until the checkpoint was complete", "s"},
    {"checkpoints/bytes_per_second", "bytes / write_seconds", "bytes/s"},
    {"plan/parameters", "parameters of the stage", "1"},
    {"plan/values", "values of parameters, a rank", "bytes"},
    {"plan/gradients", "gradients, a rank", "bytes"},
    {"plan/optimizer", "optimizer state and masters, a rank", "bytes"},
    {"plan/activations", "activations, a rank", "bytes"},
    {"plan/unused", "memory taken and not used, a rank", "bytes"},
    {"plan/copy", "copy that a save writes from, a rank", "bytes"},
    {"plan/in_flight", "micro-batches in flight", "1"},
    {"schedule/iteration", "iteration", "1"},
    {"schedule/learning_rate", "planned learning rate", "1"},
    {"schedule/batch", "planned samples of the step", "samples"},
    {"schedule/sequence_length", "planned tokens of each sample", "tokens"},
    {"ranks/dp", "coordinate along dp", "1"},
    {"ranks/tp", "coordinate along tp", "1"},
    {"ranks/pp", "coordinate along pp", "1"},
    {"ranks/peak_bytes", "peak of the process; on a GPU, of its arrays", "bytes"},
    {"ranks/arrays_peak_bytes", "peak of arrays in use", "bytes"},
    {"ranks/arrays_reserved_bytes", "memory taken from the system for arrays", "bytes"},
    {"ranks/step_seconds", "mean time of a step", "s"},
    {"ranks/phases", "mean time of each phase of a step", "s"},
    {"timeline/iteration", "traced iteration", "1"},
    {"timeline/rank", "rank", "1"},
    {"timeline/phase", "index into the group's attribute phases; -1: none", "1"},
    {"timeline/micro_batch", "number of the micro-batch; -1: none", "1"},
    {"timeline/chunk", "number of the chunk; -1: none", "1"},
    {"timeline/start", "from the start of the traced iteration", "s"},
    {"timeline/seconds", "duration of the span", "s"},
};

}  // namespace

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

void append_late(h5::Group& file, const std::string& name, const std::string& beside,
                 double value) {
  std::vector<double> values{value};
  if (!file.has(name)) {
    if (std::isnan(value)) return;
    file.create_dataset(name, DType::f64, Shape{0}, kColumn);
    const auto rows = static_cast<std::size_t>(file.dataset(beside).shape().count());
    values.insert(values.begin(), rows - 1, std::numeric_limits<double>::quiet_NaN());
  }
  append(file, name, DType::f64, values);
}

void describe_columns(h5::File& file) {
  for (const std::string& group : task_groups(file)) {
    for (const std::string& name : file.group(group).names()) {
      h5::Dataset column = file.dataset(fmt::format("{}/{}", group, name));
      if (column.has_attribute("unit")) continue;
      std::string words = name == "iteration" ? "iterations done" : name;
      std::ranges::replace(words, '_', ' ');
      column.set_attribute("long_name", words);
      column.set_attribute("unit", std::string("1"));
    }
  }
  for (const Column& c : kColumns) {
    if (!file.has(c.path)) continue;
    h5::Dataset column = file.dataset(c.path);
    if (column.has_attribute("unit")) continue;
    column.set_attribute("long_name", std::string(c.name));
    column.set_attribute("unit", std::string(c.unit));
  }
}

}  // namespace trireme
