// SPDX-License-Identifier: Apache-2.0
// Evaluates the model on a part of the data.
#include <array>
#include <numbers>

#include "trireme/train/trainer.hpp"

namespace trireme {

std::optional<Trainer::Evaluated> Trainer::evaluated(
    const std::vector<MicroBatch>& micro_batches, double bytes) const {
  std::array<double, 5> sums{};  // loss_sum, ranks that gave up, and bytes
  if (mesh_.last_stage() && mesh_.at.tp == 0) {
    const View losses = micro_batches.front().loss_sum;
    ex_.device.copy_to_host(sums.data(), losses.raw(), losses.bytes(), ex_.stream);
    ex_.stream.synchronize();
    sums[4] = bytes;
  }
  sums[3] = executor_.gave_up() ? 1.0 : 0.0;
  mesh_.world->all_reduce(View(sums.data(), DType::f64, Shape{5}), Reduction::sum);
  if (sums[3] > 0) return std::nullopt;
  const double weight = micro_batches.front().loss_weight;
  return Evaluated{sums[0] * weight, sums[2] / rule_.targets, sums[4]};
}

void Trainer::keep_class_logits(std::vector<MicroBatch>& micro_batches) const {
  if (!classifies(deck_.model.task) || !mesh_.last_stage()) return;
  for (MicroBatch& mb : micro_batches) {
    mb.class_logits = ex_.zeros(DType::f32, Shape{mb.batch, deck_.model.classes()});
  }
}

void Trainer::count_classes(const std::vector<MicroBatch>& micro_batches,
                            const std::vector<std::int32_t>& samples,
                            ClassCounts& counts) const {
  if (!mesh_.last_stage() || mesh_.at.tp != 0) return;  // other ranks of tp have equal logits
  const auto stride = static_cast<std::size_t>(deck_.model.sample().numbers());
  const auto classes = static_cast<std::size_t>(deck_.model.classes());
  std::size_t sample = 0;
  for (const MicroBatch& mb : micro_batches) {
    std::vector<float> logits(static_cast<std::size_t>(mb.batch) * classes);
    ex_.device.copy_to_host(logits.data(), mb.class_logits.view().raw(),
                            mb.class_logits.view().bytes(), ex_.stream);
    ex_.stream.synchronize();
    for (std::size_t row = 0; row < static_cast<std::size_t>(mb.batch); ++row) {
      const std::int32_t target = samples[++sample * stride - 1];
      counts.add(std::span(logits).subspan(row * classes, classes), std::max(target, -1));
    }
  }
}

std::optional<Trainer::Evaluation> Trainer::evaluate(
    const SampleSource* source, std::int64_t batches,
    std::span<const std::uint16_t> text_bytes) {
  std::optional<Evaluation> result;
  with_evaluated_values([&] { result = evaluate_values(source, batches, text_bytes); });
  return result;
}

void Trainer::with_evaluated_values(const std::function<void()>& use) {
  const bool averages = average_ && !deck_.ema.validate_original;
  wait_for_values();
  if (!averages) return use();
  average_->swap();
  try {
    use();
  } catch (const Error& e) {
    if (e.everywhere()) average_->swap();  // a swap may gather from all ranks
    throw;
  }
  average_->swap();
}

std::optional<Trainer::Evaluation> Trainer::evaluate_values(
    const SampleSource* source, std::int64_t batches,
    std::span<const std::uint16_t> text_bytes) {
  Evaluated sum;
  const bool has_classes = classifies(deck_.model.task);
  ClassCounts counts(has_classes ? deck_.model.classes() : 0);
  for (std::int64_t i = 0; i < batches; ++i) {
    const auto first = static_cast<std::uint64_t>(i * layout_.samples_per_step());
    std::vector<std::int32_t> tokens;
    const StepShape shape = layout_.evaluation_shape();
    prepare_length(shape.seq);
    if (layout_.needs_tokens()) {
      tokens = read_samples(*source, layout_.runs(first, shape.micro_batches));
    }
    auto micro_batches = layout_.micro_batches(ex_, uploads_, first, tokens, shape);
    keep_class_logits(micro_batches);
    executor_.evaluate(micro_batches, {&zero_});
    const auto part = evaluated(micro_batches, layout_.text_bytes(tokens, text_bytes));
    if (!part) return std::nullopt;
    if (has_classes) count_classes(micro_batches, tokens, counts);
    sum.loss += part->loss;
    sum.counted += part->counted;
    sum.bytes += part->bytes;
  }
  if (sum.counted == 0) {
    Error error(
        "the evaluation's samples hold no target that counts: labels or loss masks leave all "
        "of them out");
    throw error.set_everywhere();
  }
  const double bits = sum.loss * rule_.targets / std::numbers::ln2;
  Evaluation found{.loss = sum.loss / sum.counted,
                   .bits_per_byte = sum.bytes > 0 ? bits / sum.bytes : 0};
  if (has_classes) {
    counts.reduce(*mesh_.world);
    found.classes = counts.scores();
  }
  return found;
}

}  // namespace trireme
