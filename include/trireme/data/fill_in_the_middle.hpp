// SPDX-License-Identifier: Apache-2.0
// Fill-in-the-middle (Bavarian et al., arXiv 2207.14255) while samples are read, as in
// Megatron's GPTFIMDataset: documents are split between characters.
#pragma once

#include <cstdint>
#include <span>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// Cuts some documents of a sample into P M S, and writes <prefix> P <suffix> S <middle> M.
/// Some of these become <prefix> <suffix> S <middle> P M instead. P, M and S are encoded each
/// by itself. S loses as many tokens at its end as keep the document's length. A document whose
/// S is shorter stays as it is. Without a tokenizer, documents are split between tokens. So is
/// a document with a token that doesn't count or stands for no text, or whose text has fewer
/// tokens.
struct FillInTheMiddle {
  double rate = 0;           ///< probability that a document changes
  double spm_rate = 0.5;     ///< share of the second form among documents that change
  std::int32_t prefix = -1;  ///< ids of the marks
  std::int32_t middle = -1;
  std::int32_t suffix = -1;

  /// Changes `tokens`, the content of sample `k`, whose documents end with the id `end`. A
  /// sample always changes in one way. Tokens are as in Samples: below 0 where they don't
  /// count.
  void apply(std::uint64_t seed, std::uint64_t k, std::int32_t end,
             std::span<std::int32_t> tokens, const Tokenizer* tokenizer = nullptr) const;
};

}  // namespace trireme
