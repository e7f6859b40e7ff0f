// SPDX-License-Identifier: Apache-2.0
// What updates share: flat windows, the decision of a step, copies in compute precision.
#pragma once

#include <algorithm>

#include "trireme/ops/step_state.hpp"

#include "windows.hpp"

namespace trireme::cpu {

inline View flat(const View& v) { return v.empty() ? v : v.reshape(Shape{v.count()}); }
inline ConstView flat(const ConstView& v) {
  return v.empty() ? v : v.reshape(Shape{v.count()});
}

/// Returns the state of the decision, or nullptr if the step has none.
inline const StepState* decision(const ConstView& state) {
  return state.empty() ? nullptr : reinterpret_cast<const StepState*>(state.data<double>());
}

/// Copies n new values to `copy`, in its type.
template <class T>
void copy_out(const T* value, const View& copy, std::int64_t r, std::int64_t c,
              std::int64_t n) {
  if constexpr (std::is_same_v<T, float>) {
    narrow(value, copy.dtype(), address(copy, r, c), n);
  } else {
    std::copy_n(value, n, row_data<T>(copy, r) + c);
  }
}

}  // namespace trireme::cpu
