// SPDX-License-Identifier: Apache-2.0
// What a model learns, and what a sample is therefore made of.
#pragma once

#include <cstdint>

namespace trireme {

enum class Task : std::uint8_t {
  language_model,           ///< predicts each token from the tokens before
  masked_language_model,    ///< predicts tokens that were hidden from the model
  sequence_classification,  ///< predicts the label of a text
  image_classification      ///< predicts the class of an image
};

/// Whether a sample has one target: its class.
[[nodiscard]] constexpr bool classifies(Task task) {
  return task == Task::sequence_classification || task == Task::image_classification;
}

/// The numbers of a sample. The first `inputs` of them are what the model sees: tokens, or the
/// bytes of an image. `targets` numbers from `first_target` on are what the model predicts.
struct SampleLayout {
  std::int64_t inputs = 0;
  std::int64_t first_target = 0;
  std::int64_t targets = 0;
  [[nodiscard]] constexpr std::int64_t numbers() const { return first_target + targets; }
};

[[nodiscard]] constexpr SampleLayout sample_layout(Task task, std::int64_t inputs) {
  if (task == Task::language_model) return {inputs, 1, inputs};
  return {inputs, inputs, classifies(task) ? 1 : inputs};
}

}  // namespace trireme
