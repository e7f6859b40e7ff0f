// SPDX-License-Identifier: Apache-2.0
// Scorer: what an evaluation asks a model.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace trireme::tasks {

using Tokens = std::vector<std::int32_t>;

/// What a model gives the tokens of a sequence. Entry i is about token i + 1.
struct TokenScores {
  std::vector<float> log_probabilities;  ///< natural logarithms
  std::vector<bool> greedy;              ///< no other token was more probable
};

class Scorer {
 public:
  Scorer() = default;
  virtual ~Scorer() = default;
  Scorer(const Scorer&) = delete;
  Scorer& operator=(const Scorer&) = delete;

  /// Tokens that the model reads at once. A sequence may have one more, the last one predicted.
  [[nodiscard]] virtual std::int64_t length() const = 0;
  [[nodiscard]] virtual std::int64_t vocab_size() const = 0;
  /// Sequences to give to score() or generate() at once.
  [[nodiscard]] virtual std::size_t batch() const = 0;
  /// Sequences have at least two tokens.
  [[nodiscard]] virtual std::vector<TokenScores> score(std::span<const Tokens> sequences) = 0;
  /// What the model writes behind each prompt: always its most probable token, up to
  /// `most` tokens. May end sooner, behind the end of a document or behind a text that holds
  /// one of `until`.
  [[nodiscard]] virtual std::vector<Tokens> generate(std::span<const Tokens> prompts, int most,
                                                     std::span<const std::string> until) = 0;
};

}  // namespace trireme::tasks
