// SPDX-License-Identifier: Apache-2.0
// Rank 0 announces each call as a text, which the other ranks wait for.
#include "model_scorer.hpp"

#include <utility>

#include <nlohmann/json.hpp>

#include "prompts.hpp"

namespace trireme {

namespace {

// A call's sequences, for each replica of the model. Between calls somebody may ask to stop.
constexpr std::size_t kSequences = 128;
constexpr std::size_t kStoppableSequences = 16;

}  // namespace

ModelScorer::ModelScorer(Inference& inference, const Tokenizer* tokenizer, Communicator& world,
                         Asked asked)
    : inference_(inference),
      generator_(inference),
      tokenizer_(tokenizer),
      world_(world),
      asked_(std::move(asked)) {}

bool ModelScorer::given_up() {
  return asked_ && world_.reduce_count(asked_() ? 1 : 0, Reduction::max) != 0;
}

void ModelScorer::announce(const std::string& call) {
  in_call_ = true;
  static_cast<void>(world_.broadcast_text(call, 0));
  if (given_up()) throw GivenUp();
}

std::size_t ModelScorer::batch() const {
  return (asked_ ? kStoppableSequences : kSequences) *
         static_cast<std::size_t>(inference_.mesh().shape.dp);
}

std::vector<tasks::TokenScores> ModelScorer::score(std::span<const tasks::Tokens> sequences) {
  announce("score");
  std::vector<tasks::TokenScores> found;
  for (SequenceScore& score : inference_.score(sequences)) {
    found.push_back({std::move(score.log_probabilities), std::move(score.greedy)});
  }
  in_call_ = false;
  return found;
}

std::vector<tasks::Tokens> ModelScorer::generate(std::span<const tasks::Tokens> prompts,
                                                 int most, std::span<const std::string> until) {
  const std::vector<std::string> stops(until.begin(), until.end());
  announce(nlohmann::json{{"most", most}, {"until", stops}}.dump());
  auto found = write(prompts, most, stops);
  in_call_ = false;
  return found;
}

std::vector<tasks::Tokens> ModelScorer::write(std::span<const tasks::Tokens> prompts, int most,
                                              const std::vector<std::string>& until) {
  GenerateOptions options;
  options.maximum_tokens = most;
  if (tokenizer_ != nullptr) options.stop_tokens.push_back(tokenizer_->end_of_document());
  const auto end = static_cast<std::int32_t>(inference_.deck().end_of_document);
  if (end >= 0) options.stop_tokens.push_back(end);
  const auto stops = [&](std::size_t, const TokenIds& prompt, const Answer& answer) {
    return tokenizer_ != nullptr && !until.empty() &&
           find_stop(answer_text(*tokenizer_, prompt, answer.tokens), until) !=
               std::string::npos;
  };
  std::vector<tasks::Tokens> found;
  for (Answer& answer : generator_.generate(prompts, options, stops)) {
    found.push_back(std::move(answer.tokens));
  }
  return found;
}

void ModelScorer::serve() {
  for (;;) {
    const std::string call = world_.broadcast_text("", 0);
    if (call == "finish" || given_up()) return;
    if (call == "score") {
      static_cast<void>(inference_.score({}));
    } else {
      const auto options = nlohmann::json::parse(call);
      static_cast<void>(write({}, options["most"].get<int>(),
                              options["until"].get<std::vector<std::string>>()));
    }
  }
}

void ModelScorer::finish() { static_cast<void>(world_.broadcast_text("finish", 0)); }

}  // namespace trireme
