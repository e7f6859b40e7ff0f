// SPDX-License-Identifier: Apache-2.0
// Gradients that a kernel computes besides others, whether or not their parameters train.
#pragma once

#include <vector>

#include "trireme/model/parameter.hpp"

namespace trireme {

/// Memory for gradients of small frozen parameters. The memory lasts as long as this object.
class ScratchGradients {
 public:
  /// For a backward pass of activations in `type`.
  ScratchGradients(const Exec& ex, DType type) : ex_(ex), type_(accumulator_type(type)) {}

  /// The parameter's gradient; zeros in scratch memory if the parameter doesn't train.
  [[nodiscard]] View of(const Parameter& p) {
    if (p.trains) return p.grad;
    return scratch_.emplace_back(ex_.zeros(type_, p.box.extent));
  }

 private:
  const Exec& ex_;
  DType type_;
  std::vector<Tensor> scratch_;
};

}  // namespace trireme
