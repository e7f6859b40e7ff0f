// SPDX-License-Identifier: Apache-2.0
// Formulas of updates that need sums over whole parameters, which both backends call.
#pragma once

#include <cmath>

#include "trireme/core/host_device.hpp"
#include "trireme/ops/tensor_update.hpp"

namespace trireme {

/// LAMB's u.
template <class T>
TRM_HOST_DEVICE T lamb_direction(T value, T m, T v, T epsilon, T decay) {
  return m / (std::sqrt(v) + epsilon) + decay * value;
}

/// What LAMB multiplies u by.
TRM_HOST_DEVICE inline double lamb_rate(const ops::LambStep& step, const StepState& state,
                                        const double* sums) {
  const double value = std::sqrt(sums[0]);
  const double update = std::sqrt(sums[1]);
  double coefficient = 1;
  if (value != 0 && update != 0) {
    coefficient = value / update;
    if (coefficient > step.max_coeff) coefficient = step.max_coeff;
    if (coefficient < step.min_coeff) coefficient = step.min_coeff;
  }
  return step.lr * std::sqrt(state.bias2) / state.bias1 * coefficient;
}

/// The variance that Adafactor divides by, at least ε1².
TRM_HOST_DEVICE inline double adafactor_root(double row, const double* col, double mean,
                                             double epsilon) {
  if (col != nullptr) row = row * *col / (mean > epsilon ? mean : epsilon);
  const double least = epsilon * epsilon;
  return std::sqrt(row > least ? row : least);
}

/// What Adafactor multiplies u by.
TRM_HOST_DEVICE inline double adafactor_rate(const ops::AdafactorStep& step,
                                             const StepState& state, const double* sums) {
  const auto n = static_cast<double>(step.elements);
  const double slow = 1 / std::sqrt(state.updates);
  const double rate = step.lr < slow ? step.lr : slow;
  const double size = std::sqrt(sums[0] / n);
  const double update = std::sqrt(sums[1] / n) / step.clip_threshold;
  return (size > step.epsilon2 ? size : step.epsilon2) * rate / (update > 1 ? update : 1);
}

/// SM3's ν.
TRM_HOST_DEVICE inline double sm3_cover_of(double row, const double* col, double gradient,
                                           double beta) {
  const double least = col != nullptr && *col < row ? *col : row;
  return beta > 0 ? beta * least + (1 - beta) * gradient * gradient
                  : least + gradient * gradient;
}

}  // namespace trireme
