// SPDX-License-Identifier: Apache-2.0
// Continues prompts, token by token, on any dp × tp × pp.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "trireme/inference/inference.hpp"
#include "trireme/inference/sampling.hpp"
#include "trireme/model/kv_cache.hpp"

namespace trireme {

struct GenerateOptions {
  Sampling sampling{};
  std::uint64_t seed = 1234;
  std::int64_t maximum_tokens = 64;  ///< in an answer
  std::int64_t samples = 1;          ///< answers to each prompt
  std::uint64_t first_prompt = 0;    ///< number of the first prompt, which keys draws
  std::vector<std::int32_t> stop_tokens{};
  std::int64_t slots = 16;  ///< sequences that a replica of the model has under way at once
  bool cache = true;        ///< keep keys and values; without, all tokens pass at each step
};

/// The deck's settings.
[[nodiscard]] GenerateOptions options_of(const GenerationConfig& settings, std::uint64_t seed);

/// An answer, complete or under way.
struct Answer {
  TokenIds tokens{};                       ///< without the prompt and without a stop token
  std::vector<float> log_probabilities{};  ///< one a token, if Sampling asks for them
  bool finished = false;                   ///< a stop ended the answer
  double seconds = 0;                      ///< from the prompt's pass to the last token
};

class Generator {
 public:
  /// `inference` must outlive the generator.
  explicit Generator(Inference& inference);

  /// Called for each new token, on every rank of the replica that generates the answer. Returns
  /// whether the answer ends here. The result must be equal on all these ranks. `number` counts
  /// answers over prompts and their samples.
  using OnToken =
      std::function<bool(std::size_t number, const TokenIds& prompt, const Answer& answer)>;

  /// Answers the prompts of rank 0; those of other ranks are ignored. All ranks get all
  /// answers: sample s of prompt p is number p · samples + s. Throws Error if a prompt is
  /// empty, leaves no room in the context, or holds an id outside the vocabulary. Collective.
  [[nodiscard]] std::vector<Answer> generate(std::span<const TokenIds> prompts,
                                             const GenerateOptions& options,
                                             const OnToken& on_token = {});

  /// What all calls took on this rank so far, prompts apart from the steps that follow.
  struct Times {
    std::int64_t prompt_tokens = 0;
    double prompt_seconds = 0;
    std::int64_t step_tokens = 0;
    double step_seconds = 0;
  };
  [[nodiscard]] const Times& times() const { return times_; }

  /// Bytes that the cache of `slots` sequences of `length` tokens takes on this rank.
  [[nodiscard]] std::size_t cache_bytes(std::int64_t slots, std::int64_t length) const;

 private:
  class Replica;
  [[nodiscard]] KvCache::Extent extent(std::int64_t slots, std::int64_t length) const;
  [[nodiscard]] const KvCache* cache_for(std::int64_t slots, std::int64_t length);

  Inference& inference_;
  std::optional<KvCache> cache_;
  Times times_;
};

}  // namespace trireme
