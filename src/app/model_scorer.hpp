// SPDX-License-Identifier: Apache-2.0
// A model on a mesh, which rank 0 alone questions.
#pragma once

#include <functional>
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
  /// What score() and generate() throw when a rank was asked to stop. serve() returns then.
  struct GivenUp {};
  using Asked = std::function<bool()>;

  /// `tokenizer` finds the texts that end an answer; null if no text is generated. `asked` says
  /// whether this rank is asked to stop; all ranks have one, or none.
  ModelScorer(Inference& inference, const Tokenizer* tokenizer, Communicator& world,
              Asked asked = {});

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
  /// On rank 0: whether other ranks take part in an unfinished call, which an error ended here.
  [[nodiscard]] bool in_call() const { return in_call_; }

 private:
  /// Starts a call. Throws GivenUp if a rank was asked to stop.
  void announce(const std::string& call);
  /// Whether any rank was asked to stop. Collective.
  [[nodiscard]] bool given_up();
  [[nodiscard]] std::vector<tasks::Tokens> write(std::span<const tasks::Tokens> prompts,
                                                 int most,
                                                 const std::vector<std::string>& until);

  Inference& inference_;
  Generator generator_;
  const Tokenizer* tokenizer_;
  Communicator& world_;
  Asked asked_;
  bool in_call_ = false;
};

}  // namespace trireme
