// SPDX-License-Identifier: Apache-2.0
// Finds the differences between two checkpoints.
#pragma once

#include <cstdint>
#include <string>

#include "trireme/checkpoint/reader.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// How much two arrays differ.
struct Difference {
  /// row-major index of the first element whose bits differ; -1: none
  std::int64_t first = -1;
  /// The largest |a − b|; 0 between 0 and −0. NaN if a differing element is NaN in either
  /// array.
  double largest = 0;
};

/// Compares two contiguous arrays of one type and count. Elements are equal if their bits are,
/// so NaN can equal NaN.
[[nodiscard]] Difference difference_of(const ConstView& a, const ConstView& b);

/// Whether tensor `a` precedes `b`: the model's tensors precede the optimizer's, each in the
/// order of a forward pass.
[[nodiscard]] bool in_model_order(const std::string& a, const std::string& b);

/// Prints each tensor that differs, and a last line with the total. Both checkpoints are read
/// in pieces of a few MiB along the first axis. Returns whether all tensors are equal.
/// Differences in the run's state (iteration, seed, …) are printed but do not count. Throws
/// Error where a checkpoint can't be read.
[[nodiscard]] bool print_differences(CheckpointReader& a, CheckpointReader& b);

}  // namespace trireme
