// SPDX-License-Identifier: Apache-2.0
// How the next token is chosen from a row of logits. Pure.
#pragma once

#include <cstdint>
#include <span>

namespace trireme {

/// In this order, as in Hugging Face transformers: penalty, temperature, top-k, top-p, min-p.
struct Sampling {
  double temperature = 0;  ///< 0: the most probable token, unless `draws` says otherwise
  std::int64_t top_k = 0;  ///< the most probable tokens alone; 0: all
  double top_p = 0;        ///< the fewest tokens with this probability together; 0 or 1: all
  double min_p = 0;        ///< no tokens below this share of the greatest probability
  double repetition_penalty = 1;
  bool log_probabilities = false;  ///< compute ChosenToken::log_probability

  /// Whether chance decides. Without a temperature, one of top_k, top_p and min_p means
  /// temperature 1, as in GPT-NeoX.
  [[nodiscard]] bool draws() const {
    return temperature > 0 || top_k > 0 || top_p > 0 || min_p > 0;
  }
};

/// Identifies a draw: equal numbers give an equal draw on every mesh.
struct DrawKey {
  std::uint64_t seed = 0;
  std::uint64_t prompt = 0;
  std::uint32_t sample = 0;
  std::uint32_t position = 0;  ///< in the sequence
};
/// A number in (0, 1).
[[nodiscard]] double draw(const DrawKey& key);

struct ChosenToken {
  std::int32_t id = 0;
  float log_probability = 0;  ///< from the logits before any option; 0 unless asked for
};
/// Chooses by `uniform`, a number in (0, 1), among the tokens that the options leave. Among
/// equal logits, the lower id comes first. `earlier` are the tokens so far.
[[nodiscard]] ChosenToken choose_token(std::span<const float> logits, const Sampling& sampling,
                                       std::span<const std::int32_t> earlier, double uniform);

}  // namespace trireme
