// SPDX-License-Identifier: Apache-2.0
// What BERT has between its last layer and the output matrix.
#pragma once

#include "trireme/model/module.hpp"
#include "trireme/model/seam.hpp"

#include "linear.hpp"
#include "normalization.hpp"

namespace trireme {

/// y = norm(activation(x Wᵀ + b)) (Devlin et al., arXiv 1810.04805). Each rank of tp has the
/// whole W, and computes the rows that it has.
class OutputTransform final : public Module {
 public:
  OutputTransform(const ModelConfig& config, const TensorParallel& tp);
  [[nodiscard]] std::string name() const override { return "output_transform"; }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override;
  void visit(const ParameterVisitor& f) override;

 private:
  Activation activation_;
  Linear dense_;
  Normalization norm_;
};

}  // namespace trireme
