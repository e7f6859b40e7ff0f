// SPDX-License-Identifier: Apache-2.0
// Requests to a scorer.
#include "requests.hpp"

#include <algorithm>
#include <numeric>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

#include "text_filters.hpp"

namespace trireme::tasks {

Tokens prefix_of(const Tokenizer& tokenizer) {
  Tokens before = tokenizer.surroundings().before;
  if (before.empty()) before.push_back(tokenizer.end_of_document());
  return before;
}

Request make_request(const Tokenizer& tokenizer, std::string_view context,
                     std::string_view continuation, std::int64_t length) {
  const std::size_t space = trailing_space(context);
  const std::string whole = std::string(context) + std::string(continuation);
  Request request;
  Tokens own;  // the context's
  const bool is_blank = space == context.size();
  if (is_blank) {
    own = prefix_of(tokenizer);
  } else {
    own = tokenizer.surroundings().before;
    tokenizer.encode(context.substr(0, context.size() - space), own);
  }
  request.tokens = is_blank ? own : tokenizer.surroundings().before;
  tokenizer.encode(whole, request.tokens);
  const std::size_t begin = std::max<std::size_t>(1, own.size());
  TRM_REQUIRE(request.tokens.size() > begin,
              "the continuation \"{}\" adds no token to its context",
              shortened(continuation, 40));
  request.scored = request.tokens.size() - begin;
  TRM_REQUIRE(static_cast<std::int64_t>(request.scored) <= length,
              "the continuation \"{}\" has {} tokens, but the model reads {} at once",
              shortened(continuation, 40), request.scored, length);
  const auto most = static_cast<std::size_t>(length) + 1;
  if (request.tokens.size() > most) {
    request.tokens.erase(request.tokens.begin(),
                         request.tokens.end() - static_cast<std::ptrdiff_t>(most));
  }
  return request;
}

std::vector<std::size_t> longest_first(std::span<const std::size_t> lengths) {
  std::vector<std::size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(
      order, [&](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });
  return order;
}

void score_each(Scorer& scorer, std::span<const Request> requests, const OnScores& on_scores,
                const OnProgress& on_progress) {
  std::vector<std::size_t> lengths;
  for (const Request& request : requests) lengths.push_back(request.tokens.size());
  const std::vector<std::size_t> order = longest_first(lengths);
  for (std::size_t at = 0; at < order.size();) {
    const std::size_t end = std::min(order.size(), at + scorer.batch());
    std::vector<Tokens> batch;
    for (std::size_t i = at; i < end; ++i) batch.push_back(requests[order[i]].tokens);
    const std::vector<TokenScores> found = scorer.score(batch);
    TRM_CHECK(found.size() == batch.size(), "{} scores for {} sequences", found.size(),
              batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const std::size_t n = found[i].log_probabilities.size();
      TRM_CHECK(n + 1 == batch[i].size(), "{} scores for {} tokens", n, batch[i].size());
      on_scores(order[at + i], found[i]);
    }
    at = end;
    on_progress(at);
  }
}

std::vector<RequestScore> score_requests(Scorer& scorer, std::span<const Request> requests,
                                         const OnProgress& on_progress) {
  std::vector<RequestScore> scores(requests.size());
  const auto add = [&](std::size_t i, const TokenScores& tokens) {
    const std::size_t n = tokens.log_probabilities.size();
    for (std::size_t k = n - requests[i].scored; k < n; ++k) {
      scores[i].log_likelihood += tokens.log_probabilities[k];
      scores[i].greedy = scores[i].greedy && tokens.greedy[k];
    }
  };
  score_each(scorer, requests, add, on_progress);
  return scores;
}

}  // namespace trireme::tasks
