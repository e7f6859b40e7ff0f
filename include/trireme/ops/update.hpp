// SPDX-License-Identifier: Apache-2.0
// Parameter updates on flat spans.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101), PyTorch's form: θ ← θ·(1 − lr·λ), then
/// θ ← θ − lr/(1−β1ᵗ) · m / (√v/√(1−β2ᵗ) + ε). All [n], m and v zero before step 1. Each array
/// has a floating type of its own (both moments the same); arithmetic is in fp32; fp64 goes
/// with fp64 alone. `copy`, where not empty, receives the new value in its type.
void adamw(const Exec& ex, const AdamwStep& step, const ConstView& gradient, const View& value,
           const View& exp_avg, const View& exp_avg_sq, const View& copy = {});

/// θ ← θ − lr·b, b ← momentum·b + g + λ·θ (PyTorch's SGD without dampening or Nesterov).
/// Without momentum `momentum` is empty. Types and `copy` as in adamw.
void sgd(const Exec& ex, const SgdStep& step, const ConstView& gradient, const View& value,
         const View& momentum, const View& copy = {});

}  // namespace trireme::ops
