// SPDX-License-Identifier: Apache-2.0
// Sharing out prompts over dp, and gathering the answers.
#include "trireme/inference/generate.hpp"

#include <algorithm>
#include <numeric>

#include "trireme/comm/collectively.hpp"
#include "trireme/deck/stage_bounds.hpp"

#include "replica.hpp"
#include "share.hpp"

namespace trireme {

namespace {

/// Sums over all ranks: each number comes from one rank, the others have zeros.
void sum(Communicator& world, std::vector<double>& numbers) {
  if (numbers.empty()) return;
  world.all_reduce(
      View(numbers.data(), DType::f64, Shape{static_cast<std::int64_t>(numbers.size())}),
      Reduction::sum);
}

/// The cache doesn't know of documents, at which attention or positions of some models end.
void require_one_document(const Deck& deck, const TokenIds& prompt, std::uint64_t number) {
  if (!deck.model.reset_attention_mask && !deck.model.reset_position_ids) return;
  // A prompt may begin with the end of the document before.
  const std::span<const std::int32_t> inner = std::span(prompt).subspan(1);
  TRM_REQUIRE(
      std::ranges::find(inner, deck.end_of_document) == inner.end(),
      "prompt {} holds the end of a document, at which this model's attention or "
      "positions end (reset_attention_mask, reset_position_ids): give the last document "
      "alone",
      number);
}

/// Gives every rank the answers that are `mine` somewhere.
void gather(Communicator& world, std::vector<Answer>& answers, const std::vector<bool>& mine) {
  std::vector<double> facts(3 * answers.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!mine[i]) continue;
    facts[3 * i] = static_cast<double>(answers[i].tokens.size());
    facts[3 * i + 1] = answers[i].finished ? 1 : 0;
    facts[3 * i + 2] = answers[i].seconds;
  }
  sum(world, facts);
  std::vector<double> numbers;  // token and log-probability, in turn
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto count = static_cast<std::size_t>(facts[3 * i]);
    const std::size_t at = numbers.size();
    numbers.resize(at + 2 * count);
    if (!mine[i]) continue;
    const bool known = !answers[i].log_probabilities.empty();
    for (std::size_t t = 0; t < count; ++t) {
      numbers[at + 2 * t] = answers[i].tokens[t];
      numbers[at + 2 * t + 1] =
          known ? static_cast<double>(answers[i].log_probabilities[t]) : 0;
    }
  }
  sum(world, numbers);
  const bool known =
      world.reduce_count(
          std::ranges::any_of(answers,
                              [](const Answer& a) { return !a.log_probabilities.empty(); })
              ? 1
              : 0,
          Reduction::max) != 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    Answer& a = answers[i];
    a = {};
    a.finished = facts[3 * i + 1] > 0;
    a.seconds = facts[3 * i + 2];
    for (std::size_t t = 0; t < static_cast<std::size_t>(facts[3 * i]); ++t, at += 2) {
      a.tokens.push_back(static_cast<std::int32_t>(numbers[at]));
      if (known) a.log_probabilities.push_back(static_cast<float>(numbers[at + 1]));
    }
  }
}

}  // namespace

Generator::Generator(Inference& inference) : inference_(inference) {}

GenerateOptions options_of(const GenerationConfig& settings, std::uint64_t seed) {
  return {.sampling = {.temperature = settings.temperature,
                       .top_k = settings.top_k,
                       .top_p = settings.top_p,
                       .min_p = settings.min_p,
                       .repetition_penalty = settings.repetition_penalty},
          .seed = seed,
          .maximum_tokens = settings.maximum_tokens,
          .samples = settings.num_samples,
          .cache = !settings.recompute};
}

KvCache::Extent Generator::extent(std::int64_t slots, std::int64_t length) const {
  const Deck& deck = inference_.deck();
  const auto bounds = stage_bounds(deck);
  const auto stage = static_cast<std::size_t>(inference_.mesh().at.pp);
  const Layers layers = layers_between(deck, bounds[stage], bounds[stage + 1]);
  return {layers.first, layers.count, slots, length};
}

std::size_t Generator::cache_bytes(std::int64_t slots, std::int64_t length) const {
  const Deck& deck = inference_.deck();
  return KvCache::bytes(deck.types.compute, deck.model, inference_.tensor_parallel(),
                        extent(slots, length));
}

const KvCache* Generator::cache_for(std::int64_t slots, std::int64_t length) {
  if (!cache_ || cache_->extent().slots < slots || cache_->extent().max_length < length) {
    cache_.reset();
    inference_.exec().device.trim();
    inference_.exec().device.reset_peak();
    const Deck& deck = inference_.deck();
    cache_.emplace(inference_.exec(), deck.types.compute, deck.model,
                   inference_.tensor_parallel(), extent(slots, length));
  }
  return &*cache_;
}

std::vector<Answer> Generator::generate(std::span<const TokenIds> given,
                                        const GenerateOptions& options,
                                        const OnToken& on_token) {
  const Mesh& mesh = inference_.mesh();
  Communicator& world = *mesh.world;
  const std::vector<TokenIds> prompts = share_sequences(given, world);
  std::int64_t longest = 0;
  collectively(world, [&] {
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const auto length = static_cast<std::int64_t>(prompts[i].size());
      TRM_REQUIRE(length > 0, "prompt {} has no token", options.first_prompt + i);
      TRM_REQUIRE(
          length < inference_.context(),
          "prompt {} has {} tokens, but the model takes {} with the answer: shorten the "
          "prompt",
          options.first_prompt + i, length, inference_.context());
      require_ids(prompts[i], inference_.deck().model.vocab_size,
                  fmt::format("prompt {}", options.first_prompt + i));
      require_one_document(inference_.deck(), prompts[i], options.first_prompt + i);
      longest = std::max(longest, length);
    }
  });
  const auto samples = static_cast<std::size_t>(options.samples);
  std::vector<Answer> answers(prompts.size() * samples);
  std::vector<bool> reports(answers.size());
  GenerateOptions own = options;
  const auto share =
      (static_cast<std::int64_t>(answers.size()) + mesh.shape.dp - 1) / mesh.shape.dp;
  own.slots = std::min(own.slots, share);
  const std::int64_t length = std::min(longest + options.maximum_tokens, inference_.context());
  const KvCache* cache =
      options.cache && !answers.empty() ? cache_for(own.slots, length) : nullptr;
  Replica replica(inference_, own, on_token, cache, times_);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (static_cast<int>(i % static_cast<std::size_t>(mesh.shape.dp)) != mesh.at.dp) continue;
    replica.add(i, prompts[i / samples], answers[i]);
    reports[i] = mesh.last_stage() && mesh.at.tp == 0;
  }
  replica.run();
  gather(world, answers, reports);
  return answers;
}

}  // namespace trireme
