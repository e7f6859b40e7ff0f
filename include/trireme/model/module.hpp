// SPDX-License-Identifier: Apache-2.0
// The interface of a unit. A pipeline stage is a list of units.
#pragma once

#include <string>

#include "trireme/model/parameter.hpp"
#include "trireme/model/tape.hpp"

namespace trireme {

/// Maps activations [rows, hidden] to activations. Backward adds to the gradients of
/// parameters. The head adds to its parameters' gradients in a training forward. A module may
/// add terms of its own to the loss: Tape::auxiliary_sum() states the contract.
class Module {
 public:
  virtual ~Module() = default;
  [[nodiscard]] virtual std::string name() const = 0;  ///< prefix of its parameters' names
  [[nodiscard]] virtual Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) = 0;
  [[nodiscard]] virtual Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) = 0;
  /// Puts on the tape what forward puts there; the output is not needed.
  virtual void record(const Exec& ex, const Tensor& x, Tape& tape) {
    (void)forward(ex, x, tape);
  }
  virtual void visit(const ParameterVisitor& f) = 0;
  /// Whether forward adds to the gradients of parameters in training.
  [[nodiscard]] virtual bool gradient_in_forward() const { return false; }
};

}  // namespace trireme
