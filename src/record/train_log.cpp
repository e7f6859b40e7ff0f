// SPDX-License-Identifier: Apache-2.0
// Lines of the log, and rows of the metrics.
#include "trireme/record/train_log.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "trireme/core/log.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/progress.hpp"
#include "trireme/model/transformer.hpp"

#include "gather_ranks.hpp"
#include "step_words.hpp"
#include "tensorboard.hpp"

namespace trireme {

namespace {

/// A text that printable() gave, in JSON.
std::string json_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

void take_better(EvaluationRecord& best, const EvaluationRecord& other) {
  if (!std::isfinite(other.loss)) return;
  if (best.iteration == 0 || other.loss < best.loss) best = other;
}

/// The best evaluation of the run's earlier starts; iteration 0 if none evaluated.
EvaluationRecord best_of(const std::string& metrics) {
  EvaluationRecord best;
  const h5::File file(metrics, h5::Mode::read);
  const h5::Dataset iterations = file.dataset("valid/iteration");
  const Shape shape{iterations.shape().count()};
  std::vector<std::int64_t> at(static_cast<std::size_t>(shape.count()));
  std::vector<double> losses(at.size());
  if (at.empty()) return best;
  iterations.read(View(at.data(), DType::i64, shape));
  file.dataset("valid/loss").read(View(losses.data(), DType::f64, shape));
  for (std::size_t i = 0; i < at.size(); ++i) take_better(best, {at[i], losses[i]});
  return best;
}

/// Tokens of the iterations before a start, where sequences grow.
std::int64_t tokens_until(const Deck& deck, std::int64_t iteration) {
  if (!deck.curriculum.enabled) return 0;
  const BatchRamp ramp = batch_ramp(deck);
  std::int64_t samples = 0;
  std::int64_t tokens = 0;
  for (std::int64_t i = 1; i <= iteration; ++i) {
    const std::int64_t batch = ramp.batch_after(samples);
    tokens += batch * curriculum_length(deck.curriculum, deck.model.seq_length, i);
    samples += batch;
  }
  return tokens;
}

}  // namespace

TrainLog::TrainLog(const Deck& deck, Communicator& world, double gemm_rate,
                   std::int64_t iteration, Metrics* metrics)
    : deck_(deck),
      world_(world),
      gemm_rate_(gemm_rate),
      started_at_(iteration),
      started_(now()),
      metrics_(metrics),
      tokens_(tokens_until(deck, iteration)) {
  if (world.rank() != 0) return;
  if (metrics_ != nullptr && iteration > 0) best_ = best_of(metrics_->path());
  if (deck.tensorboard_dir.empty()) return;
  tensorboard_ = std::make_unique<TensorBoard>(deck.tensorboard_dir, iteration, to_yaml(deck));
}

TrainLog::~TrainLog() = default;

bool TrainLog::traces(std::int64_t iteration) const {
  return std::ranges::find(deck_.timeline_iters, iteration) != deck_.timeline_iters.end();
}

StepRecord TrainLog::record_of(const Trainer::StepResult& result, const StepTime& time) {
  const bool curriculum = deck_.curriculum.enabled;
  ModelConfig model = deck_.model;
  model.seq_length = result.seq;
  tokens_ = curriculum ? tokens_ + result.samples * result.seq : result.consumed * result.seq;
  if (result.noise_scale != 0) noise_scale_ = result.noise_scale;
  StepRecord r;
  r.iteration = result.iteration;
  r.samples = result.consumed;
  r.tokens = tokens_;
  r.loss = result.loss;
  r.auxiliary_loss = result.auxiliary_loss;
  r.learning_rate = result.lr;
  r.grad_norm = result.gradient_norm;
  r.loss_scale = result.loss_scale;
  r.skipped = result.skipped ? 1 : 0;
  r.step_seconds = time.seconds;
  r.step_tokens = static_cast<double>(result.samples * result.seq);
  r.step_operations = r.step_tokens * flops_per_token(model);
  r.tokens_per_second = r.step_tokens / time.seconds;
  r.tflops_per_rank = r.step_operations / time.seconds / world_.size() * 1e-12;
  r.phases = time.phases;
  r.ended = seconds_since_1970();
  if (!deck_.rampup_batch_size.empty()) r.batch = result.samples;
  if (curriculum) r.sequence_length = result.seq;
  r.layer_keep = result.layer_keep;
  if (result.noise_scale != 0) r.noise_scale = result.noise_scale;
  return r;
}

void TrainLog::add(const Trainer::StepResult& result, const StepTime& time) {
  const StepRecord r = record_of(result, time);
  interval_.push_back(r);
  ++steps_;
  trained_tokens_ += r.step_tokens;
  taken_.seconds += time.seconds;
  for (std::size_t p = 0; p < kPhases; ++p) taken_.phases[p] += time.phases[p];
  if (traces(r.iteration)) traced_.emplace_back(r.iteration, time.spans);
  constexpr double kMemory = 0.9;  // averages about ten steps
  recent_rate_ = steps_ == 1 ? r.tokens_per_second
                             : kMemory * recent_rate_ + (1 - kMemory) * r.tokens_per_second;
  if (!result.skipped) last_loss_ = r.loss;
  if (r.batch > 0 && r.batch != std::exchange(batch_, r.batch)) {
    log::info("batch    {} of {} samples from iteration {} on", r.batch, deck_.train_batch_size,
              r.iteration);
  }
  report_traffic(result);
  report_offload(result.offload);
  if (result.skipped) report_skip(result);
}

void TrainLog::report_traffic(const Trainer::StepResult& result) {
  if (result.compressed > 0 && !std::exchange(compression_reported_, true)) {
    log::info(
        "communication over dp, each step {}from iteration {} on: {} bytes of signs and scales "
        "instead of gradients, for rank 0's {} parameters",
        optimizer_row(deck_.optimizer.kind).averages_each_step ? "" : "that averages signs ",
        result.iteration, result.compressed, result.parameters);
  }
  if (result.reduced == 0 || std::exchange(traffic_reported_, true)) return;
  const auto share = [&](std::int64_t n) {
    return static_cast<double>(n) / static_cast<double>(result.parameters);
  };
  const bool often = result.reduced > result.parameters && deck_.zero.stage < 2;
  log::info(
      "communication over dp, each step: {} elements reduced, {} gathered: {:.2f} + {:.2f} "
      "times rank 0's {} parameters{}{}{}",
      result.reduced, result.gathered, share(result.reduced), share(result.gathered),
      result.parameters,
      result.quantized > 0
          ? fmt::format("; {} bytes of quantized values gathered", result.quantized)
          : "",
      result.nearby > 0
          ? fmt::format("; {} more gathered from {} neighbours ({:.2f})", result.nearby,
                        deck_.zero.hpz_partition_size, share(result.nearby))
          : "",
      often ? "; zero_optimization: {reduce_once_per_step: true} reduces once, but changes "
              "last bits and keeps whole gradients"
            : "");
}

void TrainLog::report_skip(const Trainer::StepResult& result) {
  if (result.outlier) {
    log::info(
        "iteration {}: loss {:.4f} or gradient norm {:.4f} lies {} standard deviations above "
        "the mean of the last steps (skip_step); the step is skipped",
        result.iteration, result.loss, result.gradient_norm, deck_.optimizer.sigma_factor);
    return;
  }
  log::info(
      "iteration {}: gradients overflowed at loss scale {} (first: {}); the step is skipped, "
      "the scale is now {}",
      result.iteration, result.loss_scale, result.overflow, result.next_loss_scale);
}

// The first step reads files that were never written, which takes no time.
void TrainLog::report_offload(const OffloadTraffic& moved) {
  if (offload_reported_ || steps_ < 2 || moved.read == 0) return;
  offload_reported_ = true;
  log::info(
      "offloading, each step: {:.1f} MB read, {:.1f} MB written on rank 0 in {:.3f} s of disk "
      "work, {:.0f} % behind computation",
      static_cast<double>(moved.read) * 1e-6, static_cast<double>(moved.written) * 1e-6,
      moved.busy, 100 * std::clamp(1 - moved.waited / std::max(moved.busy, 1e-9), 0.0, 1.0));
}

bool TrainLog::line_is_due(std::int64_t iteration) const {
  return iteration % deck_.log_interval == 0 || iteration == deck_.train_iters ||
         iteration == started_at_ + 1;
}

void TrainLog::print_line() {
  add_rows();
  // A write may take 1/200 of the time, and is due ten seconds after the last at the latest.
  constexpr double kWorth = 200;
  constexpr double kLongest = 10;
  if (now() - flushed_ >= std::min(kWorth * flush_seconds_, kLongest)) flush();
  if (interval_.empty()) return;
  double loss = 0;  // without skipped steps, whose loss may be inf
  double auxiliary = 0;
  double updates = 0;
  double seconds = 0;
  double tokens = 0;
  double operations = 0;
  for (const StepRecord& r : interval_) {
    seconds += r.step_seconds;
    tokens += r.step_tokens;
    operations += r.step_operations;
    if (r.skipped != 0) continue;
    loss += r.loss;
    auxiliary += r.auxiliary_loss;
    ++updates;
  }
  StepRecord last = interval_.back();
  last.noise_scale = noise_scale_;
  interval_.clear();
  written_ = 0;
  if (world_.rank() != 0) return;
  const double rate = tokens / seconds;
  const double flops = operations / seconds;
  const double left = (now() - started_) / static_cast<double>(last.iteration - started_at_) *
                      static_cast<double>(deck_.train_iters - last.iteration);
  const std::string scale =
      deck_.loss_scale.enabled ? fmt::format(" | loss scale {}", last.loss_scale) : "";
  std::string mean = updates > 0 ? fmt::format("{:.4f}", loss / updates) : "skipped";
  if (auxiliary != 0) mean += fmt::format(" + {:.4f} auxiliary", auxiliary / updates);
  if (flops > gemm_rate_) {  // a kernel can't be faster than GEMMs alone
    log::info(
        "the GEMM rate is at least {:.3f} TFLOP/s. At the start it was measured as {:.3f}: "
        "other work or a slow clock held the GEMMs back then",
        flops * 1e-12, gemm_rate_ * 1e-12);
    gemm_rate_ = flops;
  }
  log::event(
      fmt::format("iteration {:>{}}/{} | loss {} | lr {:.2e} | grad norm {:.3f}{}{} | {:.0f} "
                  "{}/s | {:.3f} TFLOP/s | {:.0f}% of GEMM rate | {} left",
                  last.iteration, fmt::formatted_size("{}", deck_.train_iters),
                  deck_.train_iters, mean, last.learning_rate, last.grad_norm, scale,
                  growth_words(last), rate, deck_.model.rows_name(), flops * 1e-12,
                  100 * flops / gemm_rate_, duration_text(left)),
      fmt::format(R"("event": "step", "iteration": {}, "loss": {}, "learning_rate": {}, )"
                  R"("grad_norm": {}, "tokens_per_second": {}, "seconds_left": {}{})",
                  last.iteration, json_number(loss / updates), json_number(last.learning_rate),
                  json_number(last.grad_norm), json_number(rate), json_number(left),
                  growth_fields(last)));
}

void TrainLog::write_rows() {
  add_rows();
  flush();
}

void TrainLog::flush() {
  const double begin = now();
  if (metrics_ != nullptr) metrics_->flush();
  if (tensorboard_) tensorboard_->flush();
  flushed_ = now();
  flush_seconds_ = flushed_ - begin;
}

void TrainLog::add_rows() {
  if (written_ == interval_.size()) return;
  std::vector<double> phases;
  for (std::size_t i = written_; i < interval_.size(); ++i) {
    phases.insert(phases.end(), interval_[i].phases.begin(), interval_[i].phases.end());
  }
  // A GPU reports several steps at once, so correct: a step ended before the next began.
  for (std::size_t i = interval_.size() - 1; i > written_; --i) {
    interval_[i - 1].ended =
        std::min(interval_[i - 1].ended, interval_[i].ended - interval_[i].step_seconds);
  }
  world_.all_reduce(
      View(phases.data(), DType::f64, Shape{static_cast<std::int64_t>(phases.size())}),
      Reduction::sum);
  for (auto mean = phases.cbegin(); written_ < interval_.size(); ++written_) {
    StepRecord& r = interval_[written_];
    for (double& p : r.phases) p = *mean++ / world_.size();
    if (metrics_ != nullptr) metrics_->add(r);
    if (tensorboard_) tensorboard_->add(r);
  }
  write_timelines();
}

void TrainLog::write_timelines() {
  for (const auto& [iteration, spans] : std::exchange(traced_, {})) {
    const auto ranks = gather_spans(world_, iteration, spans);
    if (metrics_ == nullptr || ranks.empty()) continue;
    std::size_t rows = 0;
    for (const auto& rank : ranks) rows += rank.size();
    log::info("timeline iteration {}: {} spans of {} rank{}", iteration, rows, ranks.size(),
              ranks.size() == 1 ? "" : "s");
    metrics_->add_timeline(iteration, ranks);
  }
}

void TrainLog::print_evaluation(const std::string& group, const EvaluationRecord& e) {
  if (group == "valid") take_better(best_, {e.iteration, e.loss});
  log::event(
      fmt::format("{:<9} {:>{}}/{} | loss {:.4f} | {}", group, e.iteration,
                  fmt::formatted_size("{}", deck_.train_iters), deck_.train_iters, e.loss,
                  evaluation_words(e)),
      fmt::format(R"("event": "evaluation", "data": "{}", "iteration": {}, "loss": {}{})",
                  group, e.iteration, json_number(e.loss), evaluation_fields(e)));
  if (!tensorboard_) return;
  tensorboard_->add(seconds_since_1970(), group, e);
  tensorboard_->flush();
}

void TrainLog::print_task(const TaskRecord& task) {
  std::string text;
  std::string fields;
  for (const auto& [name, value] : task.values) {
    const bool is_error = name.ends_with("_standard_error");
    if (!std::isnan(value)) {
      text +=
          is_error ? fmt::format(" ± {:.4f}", value) : fmt::format(" | {} {:.4f}", name, value);
    }
    fields += fmt::format(R"(, "{}": {})", name, json_number(value));
  }
  const std::string name = printable(task.task);
  log::event(fmt::format("task      {:>{}}/{} | {}{} | {} questions", task.iteration,
                         fmt::formatted_size("{}", deck_.train_iters), deck_.train_iters, name,
                         text, task.questions),
             fmt::format(R"("event": "task", "task": {}, "iteration": {}, "questions": {}{})",
                         json_text(name), task.iteration, task.questions, fields));
  if (!tensorboard_) return;
  tensorboard_->add(seconds_since_1970(), task);
  tensorboard_->flush();
}

void TrainLog::add(const SampleRecord& samples) {
  for (std::size_t i = 0; i < samples.answers.size(); ++i) {
    log::info("sample   {}: {}{}", samples.iteration, printable(samples.prompts[i]),
              printable(samples.answers[i]));
  }
  if (metrics_ != nullptr) metrics_->add(samples);
  if (!tensorboard_) return;
  tensorboard_->add(seconds_since_1970(), samples);
  tensorboard_->flush();
}

void TrainLog::record_ranks(const Device& device, const MeshIndex& at) {
  const MemoryUse arrays = device.memory();
  const auto steps = static_cast<double>(std::max<std::int64_t>(steps_, 1));
  RankRecord mine{.host = host_name(),
                  .device = device.name(),
                  .at = at,
                  .peak_bytes = peak_bytes(device),
                  .arrays_peak_bytes = static_cast<std::int64_t>(arrays.peak),
                  .arrays_reserved_bytes = static_cast<std::int64_t>(arrays.reserved),
                  .step_seconds = taken_.seconds / steps,
                  .phases = taken_.phases};
  for (double& p : mine.phases) p /= steps;
  const auto ranks = gather_ranks(world_, mine);
  if (ranks.empty()) return;
  most_bytes_ = std::ranges::max(ranks, {}, &RankRecord::peak_bytes).peak_bytes;
  if (metrics_ != nullptr) metrics_->set_ranks(ranks, steps_);
  if (!tensorboard_) return;
  tensorboard_->add_peak_bytes(seconds_since_1970(), started_at_ + steps_, most_bytes_);
  tensorboard_->flush();
}

void TrainLog::report_ranks(const Device& device, const MeshIndex& at) {
  record_ranks(device, at);
  log::info("memory   at most {} MiB a rank", most_bytes_ >> 20U);
}

std::vector<std::string> TrainLog::news() const {
  if (steps_ == 0) return {};
  return {fmt::format("loss {:.4f}", last_loss_),
          fmt::format("{:.0f} {}/s", recent_rate_, deck_.model.rows_name())};
}

void TrainLog::print_summary() const {
  const char* const rows = deck_.model.rows_name();
  log::info("done     {} iterations, {:.0f} {} in {}; {:.0f} {}/s in steps{}", steps_,
            trained_tokens_, rows, duration_text(now() - started_),
            steps_ > 0 ? trained_tokens_ / taken_.seconds : 0.0, rows,
            best_.iteration > 0 ? fmt::format("; best validation loss {:.4f}, of iteration {}",
                                              best_.loss, best_.iteration)
                                : "");
  if (!deck_.run_folder().empty()) {
    log::info("         all is in {}{}", deck_.run_folder(),
              deck_.save.empty() || deck_.run_dir.empty()
                  ? ""
                  : fmt::format(", checkpoints in {}", deck_.save));
  }
}

}  // namespace trireme
