// SPDX-License-Identifier: Apache-2.0
// One replica of the model at work: sequences take slots, and leave them when they end.
#pragma once

#include <deque>

#include "trireme/inference/generate.hpp"

namespace trireme {

/// All ranks of tp and pp with one dp coordinate work on one replica, and make all calls in one
/// order. They all get each token, and what happens next follows from the tokens.
class Generator::Replica {
 public:
  /// `cache` is null where nothing is kept.
  Replica(Inference& inference, const GenerateOptions& options, const OnToken& on_token,
          const KvCache* cache, Times& times);

  /// Takes answer `number`, whose prompt outlives the replica.
  void add(std::size_t number, const TokenIds& prompt, Answer& answer);
  /// Answers all that was added.
  void run();

 private:
  struct Sequence {
    std::size_t number;
    const TokenIds* prompt;
    Answer* answer;
    std::int32_t slot = 0;
    double began = 0;
    bool ended = false;
    [[nodiscard]] std::int64_t length() const {
      return static_cast<std::int64_t>(prompt->size() + answer->tokens.size());
    }
  };
  using Batch = std::vector<Sequence*>;

  /// Waiting sequences for the free slots, as many as one pass of their prompts takes.
  [[nodiscard]] Batch admit();
  /// Passes all tokens of the sequences.
  void pass_whole(const Batch& batch);
  /// Passes the last token of each sequence.
  void pass_last(const Batch& batch);
  void pass(const Batch& batch, const MicroBatch& mb, std::span<const std::int32_t> rows);
  /// Chooses the next token of each sequence on the last stage, and sends it to all ranks.
  void choose(const Batch& batch);
  /// Brings the logits of the whole vocabulary into `logits_`.
  void gather(const Tensor& logits);
  void take(Sequence& sequence, std::int32_t token, float log_probability);
  void release_ended();

  Inference& inference_;
  const GenerateOptions& options_;
  const OnToken& on_token_;
  const KvCache* cache_;
  Times& times_;
  std::deque<Sequence> waiting_;
  std::deque<Sequence> live_;
  std::vector<std::int32_t> free_slots_;
  std::vector<float> logits_;  ///< rows of the last pass; kept for its memory
};

}  // namespace trireme
