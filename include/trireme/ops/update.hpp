// SPDX-License-Identifier: Apache-2.0
// Updates parameters on flat arrays.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101), in PyTorch's form: θ ← θ·(1 − lr·λ), and
/// then θ ← θ − lr/(1−β1ᵗ) · m / (√v/√(1−β2ᵗ) + ε). All arrays are [n]; m and v are zero before
/// step 1. Each array has its own floating type, but both moments share one. Arithmetic is in
/// fp32; fp64 combines with fp64 alone. `copy` may be empty, else receives the new value in its
/// own type. `state` may be empty, else is a StepState: its factor also multiplies the
/// gradient. The bias corrections come from `state`, and the update changes nothing unless
/// `updated` is set.
void adamw(const Exec& ex, const AdamwStep& step, const ConstView& gradient, const View& value,
           const View& exp_avg, const View& exp_avg_sq, const View& copy = {},
           const ConstView& state = {});

/// SGD in PyTorch's form, without dampening or Nesterov: b ← momentum·b + g + λ·θ and θ ← θ −
/// lr·b. `momentum` is empty for SGD without momentum. Types, `copy` and `state` are those of
/// adamw.
void sgd(const Exec& ex, const SgdStep& step, const ConstView& gradient, const View& value,
         const View& momentum, const View& copy = {}, const ConstView& state = {});

/// Runs decide() of step_state.hpp on a StepState on the device.
void decide_step(const Exec& ex, const StepRule& rule, const View& state);

}  // namespace trireme::ops
