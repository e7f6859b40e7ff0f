// SPDX-License-Identifier: Apache-2.0
// Checks arguments of parameter updates.
#include "trireme/ops/update.hpp"

#include "check.hpp"

namespace trireme::ops {

namespace {

void check_state(const ConstView& state) {
  TRM_CHECK(
      state.empty() || (state.dtype() == DType::f64 && state.count() == StepState::kSlots),
      "the state of a step in {} {}", name_of(state.dtype()), state.shape().str());
}

}  // namespace

void adamw(const Exec& ex, const AdamwStep& step, const ConstView& gradient, const View& value,
           const View& exp_avg, const View& exp_avg_sq, const View& copy,
           const ConstView& state) {
  check_state(state);
  TRM_CHECK(gradient.count() == value.count() && exp_avg.count() == value.count() &&
                exp_avg_sq.count() == value.count() &&
                (copy.empty() || copy.count() == value.count()) && step.step >= 1,
            "AdamW on {} values with {} gradients at step {}", value.count(), gradient.count(),
            step.step);
  check_types(exp_avg, {exp_avg_sq});
  check_precisions({value, gradient, exp_avg, copy});
  check_contiguous({gradient, value, exp_avg, exp_avg_sq, copy});
  ex.kernels.adamw(ex.stream, step, state, gradient, value, exp_avg, exp_avg_sq, copy);
}

void sgd(const Exec& ex, const SgdStep& step, const ConstView& gradient, const View& value,
         const View& momentum, const View& copy, const ConstView& state) {
  check_state(state);
  TRM_CHECK(gradient.count() == value.count() &&
                (step.momentum == 0 || momentum.count() == value.count()) &&
                (copy.empty() || copy.count() == value.count()),
            "SGD on {} values with {} gradients", value.count(), gradient.count());
  check_precisions({value, gradient, momentum, copy});
  check_contiguous({gradient, value, momentum, copy});
  ex.kernels.sgd(ex.stream, step, state, gradient, value, momentum, copy);
}

void decide_step(const Exec& ex, const StepRule& rule, const View& state) {
  check_state(state);
  TRM_CHECK(!state.empty(), "a step is decided without its state");
  ex.kernels.decide_step(ex.stream, rule, state);
}

}  // namespace trireme::ops
