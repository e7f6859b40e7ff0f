// SPDX-License-Identifier: Apache-2.0
// What the model says during training: answers to sample_prompts.
#pragma once

#include <memory>
#include <vector>

#include "trireme/inference/inference.hpp"
#include "trireme/record/train_log.hpp"
#include "trireme/tokenizer/tokenizer.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

class SampleTexts {
 public:
  /// Opens the tokenizer on rank 0. Throws Error on all ranks if samples are asked for and no
  /// tokenizer is known, or if a prompt leaves no room in seq_length. Collective.
  SampleTexts(const Deck& deck, const Exec& ex, const Mesh& mesh, Trainer& trainer);

  /// At multiples of sample_interval, `log` gets an answer to each prompt, in time that `clock`
  /// doesn't count. Collective.
  void write_if_due(std::int64_t iteration, PhaseClock& clock, TrainLog& log);

 private:
  const Deck& deck_;
  const Exec& ex_;
  const Mesh& mesh_;
  Trainer& trainer_;
  std::unique_ptr<Tokenizer> tokenizer_;  ///< on rank 0
  std::vector<TokenIds> prompts_;         ///< on rank 0
  std::int32_t end_of_document_ = -1;
};

}  // namespace trireme
