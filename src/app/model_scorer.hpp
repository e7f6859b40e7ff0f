// SPDX-License-Identifier: Apache-2.0
// A model on a mesh, which rank 0 alone questions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/inference/generate.hpp"
#include "trireme/inference/inference.hpp"
#include "trireme/tasks/scorer.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// Rank 0 calls score(), generate() and, at last, finish(). Each other rank calls serve(),
/// which takes part in these calls until the last.
class ModelScorer : public tasks::Scorer {
 public:
  /// `tokenizer` finds the texts that end an answer; null if no text is generated.
  ModelScorer(Inference& inference, const Tokenizer* tokenizer, Communicator& world);

  [[nodiscard]] std::int64_t length() const override { return inference_.context(); }
  [[nodiscard]] std::int64_t vocab_size() const override {
    return inference_.deck().model.vocab_size;
  }
  [[nodiscard]] std::size_t batch() const override;
  [[nodiscard]] std::vector<tasks::TokenScores> score(
      std::span<const tasks::Tokens> sequences) override;
  [[nodiscard]] std::vector<tasks::Tokens> generate(
      std::span<const tasks::Tokens> prompts, int most,
      std::span<const std::string> until) override;

  void serve();
  void finish();

 private:
  [[nodiscard]] std::vector<tasks::Tokens> write(std::span<const tasks::Tokens> prompts,
                                                 int most,
                                                 const std::vector<std::string>& until);

  Inference& inference_;
  Generator generator_;
  const Tokenizer* tokenizer_;
  Communicator& world_;
};

}  // namespace trireme
