// SPDX-License-Identifier: Apache-2.0
// LayerNorm or RMSNorm with its weights.
#pragma once

#include <optional>

#include "trireme/model/module.hpp"

namespace trireme {

class Normalization {
 public:
  /// `gradient_is_partial`: whether the ranks of tp see different rows, or addends of dy.
  Normalization(const std::string& name, const ModelConfig& config, bool gradient_is_partial);

  /// Returns a new tensor. Computes `statistics` [rows, 2] if empty, and else uses them.
  [[nodiscard]] Tensor forward(const Exec& ex, const ConstView& x, Tensor& statistics) const;
  /// Norm of x + dropout(residual.add), which `sum` receives. `sum` may be residual.add.
  [[nodiscard]] Tensor forward(const Exec& ex, const ConstView& x, const Residual& residual,
                               const View& sum, Tensor& statistics) const;
  /// dx (+ add, if given). Accumulates the weights' gradients.
  [[nodiscard]] Tensor backward(const Exec& ex, const ConstView& dy, const ConstView& x,
                                const ConstView& statistics, const ConstView& add = {});
  void visit(const ParameterVisitor& f);

 private:
  [[nodiscard]] static Tensor make_statistics(const Exec& ex, const ConstView& x);
  [[nodiscard]] ConstView bias() const { return bias_ ? ConstView(bias_->value) : ConstView(); }

  Norm kind_;
  double epsilon_;
  double weight_offset_;
  Parameter weight_;
  std::optional<Parameter> bias_;
};

/// The norm before the output matrix, as a unit of its own.
class FinalNorm : public Module {
 public:
  FinalNorm(const ModelConfig& config, bool rows_are_cut)
      : norm_(name(), config, rows_are_cut) {}
  [[nodiscard]] std::string name() const override { return "final_layer_norm"; }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override;
  void visit(const ParameterVisitor& f) override { norm_.visit(f); }

 private:
  Normalization norm_;
};

}  // namespace trireme
