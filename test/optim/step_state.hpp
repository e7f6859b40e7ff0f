// SPDX-License-Identifier: Apache-2.0
// The norm of gradients in tests, where arrays are in the host's memory.
#pragma once

#include <cmath>

#include "trireme/ops/step_state.hpp"
#include "trireme/optim/optimizer.hpp"

namespace trireme::test {

inline View view_of(StepState& state) { return {&state, DType::f64, Shape{StepState::kSlots}}; }

/// The norm of the whole gradient, over all ranks of the mesh.
inline double norm_of(const Optimizer& optimizer, const Exec& ex, const Mesh& mesh) {
  const Tensor total = ex.zeros(DType::f64, Shape{1});
  optimizer.add_squares(total);
  mesh.everyone().all_reduce(total, Reduction::sum);
  return std::sqrt(*total.data<double>());
}

}  // namespace trireme::test
