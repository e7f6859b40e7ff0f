// SPDX-License-Identifier: Apache-2.0
// Updates parameters on flat arrays. Each array has its own floating type. Arithmetic is in
// fp32; fp64 combines with fp64 alone.
#pragma once

#include "trireme/ops/exec.hpp"
#include "trireme/ops/step_state.hpp"

namespace trireme::ops {

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101), in PyTorch's form: θ ← θ·(1 − lr·λ), and
/// then θ ← θ − lr/(1−β1ᵗ) · m / (√v/√(1−β2ᵗ) + ε). With `l2` it is Adam (Kingma and Ba, arXiv
/// 1412.6980): λ·θ is added to the gradient instead.
struct Adamw {
  AdamwStep step;
  ConstView gradient;  ///< [n]
  View value;          ///< [n], θ
  View exp_avg;        ///< [n], m; zero before step 1
  View exp_avg_sq;     ///< [n], v, in m's type; zero before step 1
  View copy = {};      ///< [n], receives the new value in its own type; may be empty
  /// A StepState, or empty. Its factor also multiplies the gradient, and the bias corrections
  /// come from it. The update changes nothing unless `updated` is set.
  ConstView state = {};
};
void adamw(const Exec& ex, const Adamw& op);

/// AdamW whose moments have 8 bits (Dettmers et al., arXiv 2110.02861), as in bitsandbytes.
/// Each block of eight_bit::kBlock elements has the largest magnitude as its scale, and the
/// codes of eight_bit.hpp stand for shares of the scale. The update takes the moments before
/// they are rounded. Blocks count from the first element, and the last one may be shorter.
struct Adam8bit {
  AdamwStep step;
  ConstView gradient;     ///< [n]
  View value;             ///< [n], θ
  View exp_avg;           ///< u8 [n]; zero before step 1
  View exp_avg_scale;     ///< fp32 [blocks]; zero before step 1
  View exp_avg_sq;        ///< u8 [n]; zero before step 1
  View exp_avg_sq_scale;  ///< fp32 [blocks]; zero before step 1
  View copy = {};         ///< like that of Adamw
  ConstView state = {};   ///< like that of Adamw
};
void adam_8bit(const Exec& ex, const Adam8bit& op);

/// SGD in PyTorch's form: g ← g + λ·θ, b ← momentum·b + (1 − dampening)·g and θ ← θ − lr·b. The
/// first step sets b to g. With Nesterov, θ moves by g + momentum·b instead of b.
struct Sgd {
  SgdStep step;
  ConstView gradient;    ///< [n]
  View value;            ///< [n], θ
  View momentum = {};    ///< [n], b; empty for SGD without momentum
  View copy = {};        ///< like that of Adamw
  ConstView state = {};  ///< like that of Adamw
};
void sgd(const Exec& ex, const Sgd& op);

/// A rule of element_rules.hpp, which states the formulas.
struct ElementUpdate {
  ElementStep step;
  ConstView gradient;  ///< [n]
  View value;          ///< [n], θ
  View first = {};     ///< [n], the state's arrays; those that the rule has none for are empty
  View second = {};    ///< [n]
  View third = {};     ///< [n]
  View copy = {};      ///< like that of Adamw
  ConstView state = {};  ///< like that of Adamw; its `updates` is the step
};
void element_update(const Exec& ex, const ElementUpdate& op);

/// Runs decide() of step_state.hpp on a StepState on the device.
struct DecideStep {
  StepRule rule;
  View state;         ///< fp64 [StepState::kSlots]
  View history = {};  ///< fp64 [StepRule::history()], if outliers are skipped
};
void decide_step(const Exec& ex, const DecideStep& op);

}  // namespace trireme::ops
