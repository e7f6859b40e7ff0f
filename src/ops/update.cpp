// SPDX-License-Identifier: Apache-2.0
// Checks arguments of parameter updates.
#include "trireme/ops/update.hpp"

#include "trireme/ops/eight_bit.hpp"
#include "trireme/ops/element_rules.hpp"

#include "check.hpp"

namespace trireme::ops {

namespace {

void check_state(const ConstView& state) {
  TRM_CHECK(
      state.empty() || (state.dtype() == DType::f64 && state.count() == StepState::kSlots),
      "the state of a step in {} {}", name_of(state.dtype()), state.shape().str());
}

}  // namespace

void adamw(const Exec& ex, const Adamw& op) {
  check_state(op.state);
  TRM_CHECK(op.gradient.count() == op.value.count() && op.exp_avg.count() == op.value.count() &&
                op.exp_avg_sq.count() == op.value.count() &&
                (op.copy.empty() || op.copy.count() == op.value.count()) && op.step.step >= 1,
            "AdamW on {} values with {} gradients at step {}", op.value.count(),
            op.gradient.count(), op.step.step);
  check_types(op.exp_avg, {op.exp_avg_sq});
  check_precisions({op.value, op.gradient, op.exp_avg, op.copy});
  check_contiguous({op.gradient, op.value, op.exp_avg, op.exp_avg_sq, op.copy});
  ex.kernels.run(ex.stream, op);
}

void adam_8bit(const Exec& ex, const Adam8bit& op) {
  check_state(op.state);
  const std::int64_t n = op.value.count();
  const std::int64_t blocks = (n + eight_bit::kBlock - 1) / eight_bit::kBlock;
  const auto coded = [&](const View& codes, const View& scales) {
    return codes.count() == n && codes.dtype() == DType::u8 && scales.count() == blocks &&
           scales.dtype() == DType::f32;
  };
  TRM_CHECK(op.gradient.count() == n && coded(op.exp_avg, op.exp_avg_scale) &&
                coded(op.exp_avg_sq, op.exp_avg_sq_scale) && op.value.dtype() != DType::f64 &&
                (op.copy.empty() || op.copy.count() == n) && op.step.step >= 1,
            "8-bit AdamW on {} values with {} gradients at step {}", n, op.gradient.count(),
            op.step.step);
  check_precisions({op.value, op.gradient, op.copy});
  check_contiguous({op.gradient, op.value, op.exp_avg, op.exp_avg_scale, op.exp_avg_sq,
                    op.exp_avg_sq_scale, op.copy});
  ex.kernels.run(ex.stream, op);
}

void sgd(const Exec& ex, const Sgd& op) {
  check_state(op.state);
  TRM_CHECK(op.gradient.count() == op.value.count() &&
                (op.step.momentum == 0 || op.momentum.count() == op.value.count()) &&
                (op.copy.empty() || op.copy.count() == op.value.count()),
            "SGD on {} values with {} gradients", op.value.count(), op.gradient.count());
  check_precisions({op.value, op.gradient, op.momentum, op.copy});
  check_contiguous({op.gradient, op.value, op.momentum, op.copy});
  ex.kernels.run(ex.stream, op);
}

void element_update(const Exec& ex, const ElementUpdate& op) {
  check_state(op.state);
  const int states = states_of(op.step);
  const auto fits = [&](const ConstView& v, bool needed) {
    return needed ? v.count() == op.value.count() : v.empty();
  };
  TRM_CHECK(op.gradient.count() == op.value.count() && fits(op.first, true) &&
                fits(op.second, states > 1) && fits(op.third, states > 2) &&
                (op.copy.empty() || op.copy.count() == op.value.count()) && op.step.step >= 1,
            "an update of {} values with {} gradients at step {}", op.value.count(),
            op.gradient.count(), op.step.step);
  check_types(op.first, {op.second, op.third});
  check_precisions({op.value, op.gradient, op.first, op.copy});
  check_contiguous({op.gradient, op.value, op.first, op.second, op.third, op.copy});
  ex.kernels.run(ex.stream, op);
}

void decide_step(const Exec& ex, const DecideStep& op) {
  check_state(op.state);
  TRM_CHECK(!op.state.empty(), "a step is decided without its state");
  const std::int64_t history = op.history.empty() ? 0 : op.history.count();
  TRM_CHECK(history == op.rule.history() && (history == 0 || op.history.dtype() == DType::f64),
            "a step is decided with a history of {} values instead of {}", history,
            op.rule.history());
  ex.kernels.run(ex.stream, op);
}

}  // namespace trireme::ops
