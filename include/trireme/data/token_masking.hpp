// SPDX-License-Identifier: Apache-2.0
// Hides tokens of samples from a model that learns to find them: BERT's masked language model
// (Devlin et al., arXiv 1810.04805).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trireme/tokenizer/token_classes.hpp"

namespace trireme {

struct MaskingRule {
  double probability = 0.15;     ///< a token, or a word, is a target
  bool whole_words = false;      ///< all tokens of a word are targets, or none
  std::int32_t mask_token = -1;  ///< for data whose tokenizer has none; −1: the tokenizer's
  friend bool operator==(const MaskingRule&, const MaskingRule&) = default;
};

/// The mask token takes the place of 80% of the targets, and any token that of 10%. Special
/// tokens are no targets, and stand for no other token. A sample always changes in one way.
class TokenMasking {
 public:
  /// `tokenizer` is that of the data, or null. Throws Error if it lacks what the rule needs.
  TokenMasking(const MaskingRule& rule, std::int64_t vocab_size, const Tokenizer* tokenizer,
               std::uint64_t seed);

  /// Hides tokens of sample `k`, which are below 0 where the sample is padding or where the
  /// loss must not count. `targets` takes each token's id, as its complement where the token is
  /// no target.
  void apply(std::uint64_t k, std::span<std::int32_t> tokens,
             std::span<std::int32_t> targets) const;

 private:
  [[nodiscard]] std::int32_t hidden(std::int32_t id, std::uint32_t choice,
                                    std::uint32_t other) const;

  MaskingRule rule_;
  std::uint64_t seed_;
  TokenClasses classes_;
  std::vector<std::int32_t> ordinary_;  ///< ids that stand in for others
};

}  // namespace trireme
