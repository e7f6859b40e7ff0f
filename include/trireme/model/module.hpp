// SPDX-License-Identifier: Apache-2.0
// The interface of everything that a pipeline stage is a list of.
#pragma once

#include <string>

#include "trireme/model/parameter.hpp"
#include "trireme/model/tape.hpp"

namespace trireme {

/// Maps activations [rows, hidden] to activations. Gradients of parameters are accumulated, in
/// backward, by the head in the forward of a micro-batch in training. A module may add terms of
/// its own to the loss: Tape::auxiliary_sum() says how.
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
  /// Its forward in training adds to its parameters' gradients.
  [[nodiscard]] virtual bool gradient_in_forward() const { return false; }
};

}  // namespace trireme
