// SPDX-License-Identifier: Apache-2.0
// Words for what changes from step to step.
#include "step_words.hpp"

#include <cmath>

namespace trireme {

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

}  // namespace trireme
