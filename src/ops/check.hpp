// SPDX-License-Identifier: Apache-2.0
// Checks that several operations share. Kernels read raw memory: an array of another element
// type or with gaps would be read as nonsense, not refused.
#pragma once

#include <initializer_list>

#include "trireme/tensor/tensor.hpp"

namespace trireme::ops {

/// Throws Error unless all arrays, empty ones aside, have the element type of `first`.
inline void check_types(const ConstView& first, std::initializer_list<ConstView> others) {
  for (const ConstView& v : others) {
    TRM_CHECK(v.empty() || v.dtype() == first.dtype(), "{} {} beside {} {}",
              name_of(first.dtype()), first.shape().str(), name_of(v.dtype()), v.shape().str());
  }
}

/// Throws Error unless the elements of each array lie side by side.
inline void check_contiguous(std::initializer_list<ConstView> arrays) {
  for (const ConstView& v : arrays) {
    TRM_CHECK(v.contiguous(), "{} with rows {} apart where a flat array is needed",
              v.shape().str(), v.row_stride());
  }
}

}  // namespace trireme::ops
