// SPDX-License-Identifier: Apache-2.0
// Activations of the MLP. gelu: Hendrycks and Gimpel, arXiv 1606.08415. Gated forms: Shazeer,
// arXiv 2002.05202, with y = act(gate) · up and x = [gate | up].
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// y = kind(x).
struct ActivationForward {
  Activation kind;
  ConstView x;  ///< [rows, n]; [rows, 2n] if kind is gated
  View y;       ///< [rows, n]
};
void activation_forward(const Exec& ex, const ActivationForward& op);

/// dx = dy ∘ kind'(x).
struct ActivationBackward {
  Activation kind;
  ConstView x;   ///< forward's
  ConstView dy;  ///< [rows, n]
  View dx;       ///< x's shape; may be x
};
void activation_backward(const Exec& ex, const ActivationBackward& op);

}  // namespace trireme::ops
