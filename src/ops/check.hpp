// SPDX-License-Identifier: Apache-2.0
// Checks that several operations share. Kernels read raw memory: with a wrong element type or
// gaps, a kernel would compute nonsense without an error.
#pragma once

#include <initializer_list>

#include "trireme/tensor/tensor.hpp"

namespace trireme::ops {

/// Throws Error unless all non-empty arrays have the element type of `first`.
inline void check_types(const ConstView& first, std::initializer_list<ConstView> others) {
  for (const ConstView& v : others) {
    TRM_CHECK(v.empty() || v.dtype() == first.dtype(), "{} {} beside {} {}",
              name_of(first.dtype()), first.shape().str(), name_of(v.dtype()), v.shape().str());
  }
}

/// Throws Error unless all non-empty arrays have accumulator_type of `first`.
inline void check_accumulators(const ConstView& first, std::initializer_list<ConstView> sums) {
  for (const ConstView& v : sums) {
    TRM_CHECK(v.empty() || v.dtype() == accumulator_type(first.dtype()),
              "sums over {} {} are kept in {}, not in a {} {}", name_of(first.dtype()),
              first.shape().str(), name_of(accumulator_type(first.dtype())), name_of(v.dtype()),
              v.shape().str());
  }
}

/// Throws Error unless all non-empty arrays have the element type of `first` or its
/// accumulator_type. Results that are accumulated into may have either type.
inline void check_types_or_accumulators(const ConstView& first,
                                        std::initializer_list<ConstView> results) {
  for (const ConstView& v : results) {
    TRM_CHECK(
        v.empty() || v.dtype() == first.dtype() || v.dtype() == accumulator_type(first.dtype()),
        "from {} {} into a {} {}: it must be {} or {}", name_of(first.dtype()),
        first.shape().str(), name_of(v.dtype()), v.shape().str(), name_of(first.dtype()),
        name_of(accumulator_type(first.dtype())));
  }
}

/// Throws Error unless all non-empty arrays are fp64, or all have narrower floating types.
inline void check_precisions(std::initializer_list<ConstView> arrays) {
  const ConstView* first = nullptr;
  for (const ConstView& v : arrays) {
    if (v.empty()) continue;
    TRM_CHECK(floating(v.dtype()), "arithmetic on {}", name_of(v.dtype()));
    if (first == nullptr) first = &v;
    TRM_CHECK(accumulator_type(v.dtype()) == accumulator_type(first->dtype()),
              "{} {} beside {} {}: fp64 goes with fp64 alone", name_of(first->dtype()),
              first->shape().str(), name_of(v.dtype()), v.shape().str());
  }
}

/// Throws Error if an array has gaps between its rows.
inline void check_contiguous(std::initializer_list<ConstView> arrays) {
  for (const ConstView& v : arrays) {
    TRM_CHECK(v.contiguous(), "{} with rows {} apart where a flat array is needed",
              v.shape().str(), v.row_stride());
  }
}

}  // namespace trireme::ops
