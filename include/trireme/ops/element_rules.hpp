// SPDX-License-Identifier: Apache-2.0
// Updates of one element, which both backends call. T is the type that computes.
#pragma once

#include <cmath>

#include "trireme/core/host_device.hpp"
#include "trireme/ops/types.hpp"

namespace trireme {

/// Lion (Chen et al., arXiv 2302.06675): θ ← θ·(1 − lr·λ) − lr·sign(β1·m + (1 − β1)·g), and
/// then m ← β2·m + (1 − β2)·g.
template <class T>
struct LionRule {
  TRM_HOST_DEVICE LionRule(const ElementStep& s, double /*t*/)
      : decay(static_cast<T>(1 - s.lr * s.weight_decay)),
        rate(static_cast<T>(s.lr)),
        b1(static_cast<T>(s.beta1)),
        c1(static_cast<T>(1 - s.beta1)),
        b2(static_cast<T>(s.beta2)),
        c2(static_cast<T>(1 - s.beta2)) {}
  TRM_HOST_DEVICE void apply(T g, T& value, T& m, T& /*second*/, T& /*third*/) const {
    const T c = b1 * m + c1 * g;
    const T sign = c > T{0} ? T{1} : c < T{0} ? T{-1} : T{0};
    value = value * decay - rate * sign;
    m = b2 * m + c2 * g;
  }
  T decay, rate, b1, c1, b2, c2;
};

/// Adagrad (Duchi et al., 2011) in PyTorch's form: g ← g + λ·θ, s ← s + g², and θ ← θ −
/// lr/(1 + (t − 1)·lr_decay) · g / (√s + ε). The state begins as `initial`.
template <class T>
struct AdagradRule {
  TRM_HOST_DEVICE AdagradRule(const ElementStep& s, double t)
      : rate(static_cast<T>(s.lr / (1 + (t - 1) * s.lr_decay))),
        decay(static_cast<T>(s.weight_decay)),
        start(static_cast<T>(t == 1 ? s.initial : 0)),
        epsilon(static_cast<T>(s.epsilon)) {}
  TRM_HOST_DEVICE void apply(T g, T& value, T& sum, T& /*second*/, T& /*third*/) const {
    const T with_decay = g + decay * value;
    sum = start + sum + with_decay * with_decay;
    value -= rate * with_decay / (std::sqrt(sum) + epsilon);
  }
  T rate, decay, start, epsilon;
};

/// MADGRAD (Defazio and Jelassi, arXiv 2101.11075) with the decay of AdamW, which GPT-NeoX
/// calls madgrad_wd. With η = lr + ε and λt = η·√t:
///   θ ← θ·(1 − η·λ)
///   v ← v + λt·g²
///   s ← s + λt·g
///   θ ← μ·θ + (1 − μ)·(x0 − s / (∛v + ε))
/// x0 is the value before the first step. Without momentum, x0 is computed anew from the
/// decayed value, v and s.
template <class T>
struct MadgradRule {
  TRM_HOST_DEVICE MadgradRule(const ElementStep& s, double t)
      : decay(static_cast<T>(1 - (s.lr + s.epsilon) * s.weight_decay)),
        lambda(static_cast<T>((s.lr + s.epsilon) * std::sqrt(t))),
        epsilon(static_cast<T>(s.epsilon)),
        mu(static_cast<T>(s.momentum)),
        rest(static_cast<T>(1 - s.momentum)),
        first(t == 1) {}
  TRM_HOST_DEVICE void apply(T g, T& value, T& v, T& s, T& x0) const {
    if (first) x0 = value;
    value *= decay;
    if (mu == T{0}) x0 = value + s / (std::cbrt(v) + epsilon);
    v += lambda * g * g;
    s += lambda * g;
    const T z = x0 - s / (std::cbrt(v) + epsilon);
    value = mu * value + rest * z;
  }
  T decay, lambda, epsilon, mu, rest;
  bool first;
};

/// Calls f with the rule of a step, at update number t.
template <class T, class F>
TRM_HOST_DEVICE void with_rule(const ElementStep& step, double t, F&& f) {
  switch (step.rule) {
    case ElementRule::lion:
      f(LionRule<T>(step, t));
      return;
    case ElementRule::adagrad:
      f(AdagradRule<T>(step, t));
      return;
    case ElementRule::madgrad:
      f(MadgradRule<T>(step, t));
      return;
  }
}

/// Arrays of state that a rule reads and writes.
[[nodiscard]] TRM_HOST_DEVICE constexpr int states_of(const ElementStep& step) {
  if (step.rule == ElementRule::madgrad) return step.momentum == 0 ? 2 : 3;
  return 1;
}

}  // namespace trireme
