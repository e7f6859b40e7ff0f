// SPDX-License-Identifier: Apache-2.0
// muP's learning rates: Yang et al., arXiv 2203.03466, table 8.
#pragma once

#include "trireme/model/parameter.hpp"
#include "trireme/optim/config.hpp"

namespace trireme {

/// Whether muP's rule for the optimizer is known.
[[nodiscard]] bool has_width_rate(OptimizerKind kind);

/// The factor of a parameter's learning rate. Its weight decay is divided by the factor, so
/// that their product stays, as in the package `mup`:
///                         matrices of layers   all others
///   SGD                   out / in             in
///   Adam and alike        1 / in               1
/// Alike are rules that normalize each element: AdamW, OneBitAdam, ZeroOneAdam, Lion and
/// Adagrad.
[[nodiscard]] double width_rate(OptimizerKind kind, const WidthScale& width);

}  // namespace trireme
