// SPDX-License-Identifier: Apache-2.0
// Texts become sequences for a scorer, and token scores become sums.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "trireme/tasks/scorer.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme::tasks {

/// A sequence of which the last `scored` tokens count.
struct Request {
  Tokens tokens;
  std::size_t scored = 0;
};

/// The sum over a request's scored tokens.
struct RequestScore {
  double log_likelihood = 0;
  bool greedy = true;  ///< each token was the most probable one
};

/// The tokens before a text that stands at a document's beginning: what the tokenizer puts
/// there, or else the end of a document.
[[nodiscard]] Tokens prefix_of(const Tokenizer& tokenizer);

/// The ids of a continuation, given its context, as lm-evaluation-harness takes them apart.
/// White space at the context's end belongs to the continuation. The ids of the context are
/// the first ids of the whole, as many as the context has by itself. A blank context is
/// prefix_of(). Only the last `length` + 1 tokens stay. Throws Error if the continuation has no
/// token, or more than `length`.
[[nodiscard]] Request make_request(const Tokenizer& tokenizer, std::string_view context,
                                   std::string_view continuation, std::int64_t length);

/// Called with the number of requests that are done.
using OnProgress = std::function<void(std::size_t done)>;
/// Called with what request i got.
using OnScores = std::function<void(std::size_t i, const TokenScores& scores)>;

/// Scores all requests, the longest first, so that sequences of a batch are of like length.
void score_each(Scorer& scorer, std::span<const Request> requests, const OnScores& on_scores,
                const OnProgress& on_progress);
[[nodiscard]] std::vector<RequestScore> score_requests(Scorer& scorer,
                                                       std::span<const Request> requests,
                                                       const OnProgress& on_progress);

/// Numbers 0 to n − 1 in the order of falling lengths.
[[nodiscard]] std::vector<std::size_t> longest_first(std::span<const std::size_t> lengths);

}  // namespace trireme::tasks
