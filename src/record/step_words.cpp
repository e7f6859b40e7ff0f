// SPDX-License-Identifier: Apache-2.0
// Words for what changes from step to step, and for evaluations.
#include "step_words.hpp"

#include <cmath>

namespace trireme {

std::string json_number(double x) { return std::isfinite(x) ? fmt::format("{}", x) : "null"; }

std::string growth_words(const StepRecord& step) {
  std::string words;
  if (step.batch > 0) words += fmt::format(" | batch {}", step.batch);
  if (step.sequence_length > 0) words += fmt::format(" | length {}", step.sequence_length);
  if (step.layer_keep < 1) words += fmt::format(" | last layer {:.3f}", step.layer_keep);
  if (std::isfinite(step.noise_scale)) {
    words += fmt::format(" | noise scale {:.4g}", step.noise_scale);
  }
  return words;
}

std::string growth_fields(const StepRecord& step) {
  std::string fields;
  if (step.batch > 0) fields += fmt::format(R"(, "batch": {})", step.batch);
  if (step.sequence_length > 0) {
    fields += fmt::format(R"(, "sequence_length": {})", step.sequence_length);
  }
  if (step.layer_keep < 1) fields += fmt::format(R"(, "layer_keep": {})", step.layer_keep);
  if (std::isfinite(step.noise_scale)) {
    fields += fmt::format(R"(, "noise_scale": {})", step.noise_scale);
  }
  return fields;
}

std::string evaluation_words(const EvaluationRecord& e) {
  if (e.classes) {
    std::string words = fmt::format("accuracy {:.2f} %", 100 * e.classes->accuracy);
    if (e.classes->top5 >= 0) words += fmt::format(" | top 5 {:.2f} %", 100 * e.classes->top5);
    return words + fmt::format(" | macro F1 {:.4f}", e.classes->macro_f1);
  }
  std::string words = fmt::format("perplexity {:.4f}", std::exp(e.loss));
  if (e.bits_per_byte > 0) words += fmt::format(" | {:.4f} bits a byte", e.bits_per_byte);
  return words;
}

std::string evaluation_fields(const EvaluationRecord& e) {
  std::string fields;
  const auto add = [&](bool known, const char* name, double value) {
    if (known) fields += fmt::format(R"(, "{}": {})", name, json_number(value));
  };
  const ClassScores scores = e.classes.value_or(ClassScores{});
  add(e.classes.has_value(), "accuracy", scores.accuracy);
  add(scores.top5 >= 0, "top5_accuracy", scores.top5);
  add(e.classes.has_value(), "macro_f1", scores.macro_f1);
  add(e.bits_per_byte > 0, "bits_per_byte", e.bits_per_byte);
  return fields;
}

}  // namespace trireme
