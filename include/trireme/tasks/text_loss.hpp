// SPDX-License-Identifier: Apache-2.0
// The loss of a model on tokens: of a whole file, or of each document by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trireme/data/prepare.hpp"
#include "trireme/data/token_source.hpp"
#include "trireme/tasks/scorer.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme::tasks {

/// Sums over the tokens that count.
struct TextLoss {
  std::int64_t tokens = 0;
  std::int64_t bytes = 0;  ///< the text's that the tokens stand for; 0: not known
  double nats = 0;         ///< the sum of negative log-probabilities

  [[nodiscard]] double loss() const { return nats / static_cast<double>(tokens); }
  [[nodiscard]] double perplexity() const;
  /// Empty if the bytes aren't known.
  [[nodiscard]] std::optional<double> bits_per_byte() const;
};

struct LossOptions {
  std::int64_t length = 0;   ///< tokens to read at once; 0: the scorer's length
  std::int64_t stride = 0;   ///< tokens from window to window; 0: the length
  bool by_document = false;  ///< each document without those before it
  bool skip_ends = false;    ///< the ends of documents don't count
  std::int64_t limit = 0;    ///< documents, from the first on; 0: all
  /// With by_document: called for each document that has tokens, in order.
  std::function<void(std::int64_t document, const TextLoss& loss)> on_document{};
  std::function<void(std::int64_t done, std::int64_t total)> on_progress{};  ///< tokens
};

/// Scores each token of the source once, in windows that slide over the documents end to end,
/// or over each document. A token stands before the first one, which is then predicted too. It
/// is what the tokenizer puts before a document, or else the end of one. Where the source
/// already begins with that token, or neither is known, the first token doesn't count. Neither
/// do tokens that the source's loss mask leaves out. `tokenizer` may be null: bytes are then
/// not known. Throws Error if length and stride don't fit, or if no token counts.
[[nodiscard]] TextLoss measure_loss(const TokenSource& source, const Tokenizer* tokenizer,
                                    Scorer& scorer, const LossOptions& options);

/// Documents of text files, encoded as `trireme prepare` does, in memory. Throws Error that
/// names file and line of what can't be used.
[[nodiscard]] std::unique_ptr<TokenSource> read_text(const std::vector<std::string>& paths,
                                                     const TextFormat& format,
                                                     const Tokenizer& tokenizer, int threads);

}  // namespace trireme::tasks
