// SPDX-License-Identifier: Apache-2.0
// Parameter updates on flat spans.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101), PyTorch's form: θ ← θ·(1 − lr·λ), then
/// θ ← θ − lr/(1−β1ᵗ) · m / (√v/√(1−β2ᵗ) + ε). All [n], m and v zero before step 1. Each array
/// has a floating type of its own (both moments the same); arithmetic is in fp32; fp64 goes
/// with fp64 alone. `copy`, where not empty, receives the new value in its type. `state`, where
/// not empty, is a StepState: its factor multiplies step.gradient_scale, its corrections stand
/// for those of step.step, and nothing is changed where it is not `updated`.
void adamw(const Exec& ex, const AdamwStep& step, const ConstView& gradient, const View& value,
           const View& exp_avg, const View& exp_avg_sq, const View& copy = {},
           const ConstView& state = {});

/// θ ← θ − lr·b, b ← momentum·b + g + λ·θ (PyTorch's SGD without dampening or Nesterov).
/// Without momentum `momentum` is empty. Types, `copy` and `state` as in adamw.
void sgd(const Exec& ex, const SgdStep& step, const ConstView& gradient, const View& value,
         const View& momentum, const View& copy = {}, const ConstView& state = {});

/// decide() of step_state.hpp on a StepState on the device.
void decide_step(const Exec& ex, const StepRule& rule, const View& state);

}  // namespace trireme::ops
