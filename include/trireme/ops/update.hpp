// SPDX-License-Identifier: Apache-2.0
// Parameter updates on flat spans.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101), PyTorch's form: θ ← θ·(1 − lr·λ), then
/// θ ← θ − lr/(1−β1ᵗ) · m / (√v/√(1−β2ᵗ) + ε). All [n], m and v zero before step 1.
void adamw(const Exec& ex, const AdamwStep& step, const ConstView& gradient, const View& value,
           const View& exp_avg, const View& exp_avg_sq);

/// θ ← θ − lr·b, b ← momentum·b + g + λ·θ (PyTorch's SGD without dampening or Nesterov).
/// Without momentum `momentum` is empty.
void sgd(const Exec& ex, const SgdStep& step, const ConstView& gradient, const View& value,
         const View& momentum);

}  // namespace trireme::ops
