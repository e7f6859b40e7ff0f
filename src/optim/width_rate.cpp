// SPDX-License-Identifier: Apache-2.0
// Learning rates by the width of a parameter.
#include "trireme/optim/width_rate.hpp"

namespace trireme {

bool has_width_rate(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::adamw:
    case OptimizerKind::adam:
    case OptimizerKind::sgd:
    case OptimizerKind::lion:
    case OptimizerKind::adagrad:
    case OptimizerKind::one_bit_adam:
    case OptimizerKind::zero_one_adam:
      return true;
    default:
      return false;
  }
}

double width_rate(OptimizerKind kind, const WidthScale& width) {
  if (kind == OptimizerKind::sgd) return width.matrix ? width.out / width.in : width.in;
  return width.matrix ? 1 / width.in : 1;
}

}  // namespace trireme
