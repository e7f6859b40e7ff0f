// SPDX-License-Identifier: Apache-2.0
// In what two checkpoints differ.
#pragma once

#include <cstdint>
#include <string>

#include "trireme/checkpoint/reader.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// How far apart two arrays are.
struct Difference {
  std::int64_t first = -1;  ///< row-major index of the first element of other bits; -1: none
  /// |a − b|, the largest. NaN if, of two elements that differ, one or both are no number;
  /// 0 for 0 and −0.
  double largest = 0;
};

/// Both contiguous, of one type and count. Equal is what has equal bits, so NaN can be.
[[nodiscard]] Difference difference_of(const ConstView& a, const ConstView& b);

/// Whether tensor `a` comes before `b`: the model's before the optimizer's, and in each the
/// order of a forward pass.
[[nodiscard]] bool in_model_order(const std::string& a, const std::string& b);

/// Prints what differs, tensor by tensor, and a last line that sums it up. Both are read in
/// parts of some MiB along the first axis. Returns whether all tensors are equal; the run's
/// state (iteration, seed, …) is told, and doesn't count. Throws Error where one can't be read.
[[nodiscard]] bool print_differences(CheckpointReader& a, CheckpointReader& b);

}  // namespace trireme
