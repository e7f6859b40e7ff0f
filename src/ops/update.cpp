// SPDX-License-Identifier: Apache-2.0
// Argument checks of parameter updates.
#include "trireme/ops/update.hpp"

#include "check.hpp"

namespace trireme::ops {

void adamw(const Exec& ex, const AdamwStep& step, const ConstView& gradient, const View& value,
           const View& exp_avg, const View& exp_avg_sq) {
  TRM_CHECK(gradient.count() == value.count() && exp_avg.count() == value.count() &&
                exp_avg_sq.count() == value.count() && step.step >= 1,
            "AdamW on {} values with {} gradients at step {}", value.count(), gradient.count(),
            step.step);
  check_types(value, {exp_avg, exp_avg_sq});
  check_contiguous({gradient, value, exp_avg, exp_avg_sq});
  ex.kernels.adamw(ex.stream, step, gradient, value, exp_avg, exp_avg_sq);
}

void sgd(const Exec& ex, const SgdStep& step, const ConstView& gradient, const View& value,
         const View& momentum) {
  TRM_CHECK(gradient.count() == value.count() &&
                (step.momentum == 0 || momentum.count() == value.count()),
            "SGD on {} values with {} gradients", value.count(), gradient.count());
  check_types(value, {momentum});
  check_contiguous({gradient, value, momentum});
  ex.kernels.sgd(ex.stream, step, gradient, value, momentum);
}

}  // namespace trireme::ops
