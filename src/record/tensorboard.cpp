// SPDX-License-Identifier: Apache-2.0
// Tags of the events, and the name of the event file.
#include "tensorboard.hpp"

#include <cmath>
#include <cstring>
#include <unistd.h>

#include "trireme/core/log.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/host/engine.hpp"

#include "event_file.hpp"

namespace trireme {

namespace {

constexpr std::size_t kLargestDeck = std::size_t{64} << 10U;  // a few thousand keys

/// TensorBoard finds event files by the word tfevents, and reads them in order of their names.
std::string file_name(double time) {
  return fmt::format("events.out.tfevents.{:017.6f}.{}.{}", time, host_name(), getpid());
}

/// The deck as a code block in Markdown.
std::string markdown(const std::string& deck) {
  std::string out = "    ";
  for (const char c : deck) {
    out += c;
    if (c == '\n') out += "    ";
  }
  return out;
}

}  // namespace

TensorBoard::TensorBoard(const std::string& folder, std::int64_t iteration,
                         const std::string& deck) {
  const double time = seconds_since_1970();
  path_ = fmt::format("{}/{}", folder, file_name(time));
  records_ = event_file::record(event_file::version(time));
  const std::int64_t first = iteration == 0 ? 0 : iteration + 1;
  records_ += event_file::record(event_file::session_start(time, first));
  if (deck.size() <= kLargestDeck) {
    records_ += event_file::record(event_file::text(time, iteration, "deck", markdown(deck)));
  }
  append(true);
  kept_.keep(path_);
}

void TensorBoard::add(const StepRecord& step) {
  records_ += event_file::record(
      event_file::scalars(step.ended, step.iteration,
                          {{"train/loss", step.loss},
                           {"train/learning_rate", step.learning_rate},
                           {"train/grad_norm", step.grad_norm},
                           {"train/loss_scale", step.loss_scale},
                           {"runtime/iteration_seconds", step.step_seconds},
                           {"runtime/tokens_per_second", step.tokens_per_second},
                           {"runtime/tflops_per_rank", step.tflops_per_rank}}));
  const auto add = [&](bool there, const char* tag, double value) {
    if (!there) return;
    records_ +=
        event_file::record(event_file::scalars(step.ended, step.iteration, {{tag, value}}));
  };
  add(step.auxiliary_loss != 0, "train/auxiliary_loss", step.auxiliary_loss);
  add(step.batch > 0, "train/batch", static_cast<double>(step.batch));
  add(step.sequence_length > 0, "train/sequence_length",
      static_cast<double>(step.sequence_length));
  add(step.layer_keep < 1, "train/layer_keep", step.layer_keep);
  add(std::isfinite(step.noise_scale), "train/noise_scale", step.noise_scale);
}

void TensorBoard::add(double wall_time, const std::string& group,
                      const EvaluationRecord& evaluation) {
  const std::string loss = group + "/loss";
  const std::string perplexity = group + "/perplexity";
  records_ += event_file::record(
      event_file::scalars(wall_time, evaluation.iteration,
                          {{loss, evaluation.loss}, {perplexity, std::exp(evaluation.loss)}}));
  const auto add = [&](const char* name, double value) {
    const std::string tag = group + name;
    records_ += event_file::record(
        event_file::scalars(wall_time, evaluation.iteration, {{tag, value}}));
  };
  if (evaluation.classes) {
    add("/accuracy", evaluation.classes->accuracy);
    add("/macro_f1", evaluation.classes->macro_f1);
    if (evaluation.classes->top5 >= 0) add("/top5_accuracy", evaluation.classes->top5);
  }
  if (evaluation.bits_per_byte <= 0) return;
  add("/bits_per_byte", evaluation.bits_per_byte);
}

void TensorBoard::add(double wall_time, const TaskRecord& task) {
  for (const auto& [name, value] : task.values) {
    if (std::isnan(value)) continue;
    const std::string tag = fmt::format("tasks/{}/{}", printable(task.task), name);
    records_ +=
        event_file::record(event_file::scalars(wall_time, task.iteration, {{tag, value}}));
  }
}

void TensorBoard::add(double wall_time, const SampleRecord& samples) {
  std::string all;
  for (std::size_t i = 0; i < samples.answers.size(); ++i) {
    if (i > 0) all += "\n\n---\n\n";
    all += markdown(samples.prompts[i] + samples.answers[i]);
  }
  records_ +=
      event_file::record(event_file::text(wall_time, samples.iteration, "samples", all));
}

void TensorBoard::add_peak_bytes(double wall_time, std::int64_t iteration, std::int64_t bytes) {
  records_ += event_file::record(event_file::scalars(
      wall_time, iteration, {{"memory/peak_mib_per_rank", static_cast<double>(bytes >> 20U)}}));
}

void TensorBoard::flush() {
  if (path_.empty()) records_.clear();
  if (records_.empty()) return;
  const auto failure = failure_of([this] {
    if (kept_.restore(path_)) {
      kept_.keep(path_);
      log::warn("{}: the file was moved or removed; it is written again, whole", path_);
    }
  });
  static_cast<void>(failure);  // append() meets the reason, too
  append(false);
}

void TensorBoard::append(bool create) {
  std::size_t written = 0;
  const int reason = append_text(path_, records_, create, written);
  records_.clear();
  if (reason != 0) give_up(reason);
}

void TensorBoard::give_up(int reason) {
  log::warn("{}: cannot write: {}; the run goes on without events for TensorBoard", path_,
            std::strerror(reason));
  path_.clear();
}

}  // namespace trireme
