// SPDX-License-Identifier: Apache-2.0
// The output matrix and the loss, over a vocabulary sharded over tp.
#pragma once

#include <optional>

#include "trireme/model/module.hpp"
#include "trireme/model/seam.hpp"
#include "trireme/ops/cross_entropy.hpp"

namespace trireme {

/// Activations → Σ token losses, added to the micro-batch's loss_sum. Logits exist for a few
/// rows at a time. Forward computes a chunk's loss and all gradients that follow before the
/// next chunk. The tape therefore keeps [rows, hidden] instead of [rows, vocabulary]. Forward's
/// result is empty and backward's dy is ignored.
class Head : public Module {
 public:
  /// A tied head's weight is the token embedding's table. `shared` is that table, or null if
  /// another model part has the table: a tied head then has a copy. With `alone`, no unit below
  /// trains, and backward returns no gradient.
  Head(const ModelConfig& config, const TensorParallel& tp, Parameter* shared,
       bool alone = false);
  [[nodiscard]] std::string name() const override { return "embed_out"; }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override;
  void visit(const ParameterVisitor& f) override;
  [[nodiscard]] bool gradient_in_forward() const override { return true; }
  /// This rank's columns of the logits, [rows, local vocabulary], in x's accumulator_type.
  [[nodiscard]] Tensor logits(const Exec& ex, const Tensor& x) const;
  /// See ModelPart::score().
  [[nodiscard]] Tensor score(const Exec& ex, const Tensor& x, const ConstView& targets) const;
  [[nodiscard]] Parameter& weight() { return *weight_; }

 private:
  /// logits = factor · x weightᵀ + bias, capped.
  void logits_into(const Exec& ex, const ConstView& x, const View& logits) const;

  TensorParallel tp_;
  Seam in_;
  bool alone_;
  Parameter own_;
  Parameter* weight_;
  std::optional<Parameter> bias_;
  ops::LabelSmoothing smoothing_;
  double cap_;     ///< softcap; 0: none
  double factor_;  ///< muP's
};

}  // namespace trireme
