// SPDX-License-Identifier: Apache-2.0
// Activations of the MLP. gelu: Hendrycks and Gimpel, arXiv 1606.08415. Gated forms: Shazeer,
// arXiv 2002.05202, with y = act(gate) · up and x = [gate | up].
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// x [rows, n] → y [rows, n]; gated kinds take x [rows, 2n].
void activation_forward(const Exec& ex, Activation kind, const ConstView& x, const View& y);

/// dx has x's shape and may be x.
void activation_backward(const Exec& ex, Activation kind, const ConstView& x,
                         const ConstView& dy, const View& dx);

}  // namespace trireme::ops
