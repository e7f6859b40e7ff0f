// SPDX-License-Identifier: Apache-2.0
// What the arrays of a micro-batch hold of one sample.
#pragma once

#include <cstdint>
#include <span>

#include "trireme/core/task.hpp"

namespace trireme {

/// Reads a stored sample: see SampleSource. Each function writes `seq` numbers, unless it says
/// otherwise.
struct SampleRows {
  SampleLayout layout;
  std::int64_t seq = 0;               ///< tokens of the sample that are used
  std::int32_t end_of_document = -1;  ///< where attention and positions end; −1: nowhere
  bool padded = false;                ///< inputs below 0 are padding
  /// patch_order() of a vision transformer; else empty.
  std::span<const std::int32_t> order{};

  [[nodiscard]] std::int64_t inputs_used() const;
  [[nodiscard]] std::int64_t targets_used() const;
  /// Inputs that are not padding.
  [[nodiscard]] std::int64_t real(const std::int32_t* sample) const;

  /// Writes inputs_used() numbers.
  void inputs(const std::int32_t* sample, std::int32_t* to) const;
  /// Writes targets_used() numbers.
  void targets(const std::int32_t* sample, std::int32_t* to) const;
  /// See MicroBatch. Padding has no keys.
  void first_keys(const std::int32_t* sample, std::int32_t* to) const;
  void end_keys(const std::int32_t* sample, std::int32_t* to) const;
  void positions(const std::int32_t* sample, std::int32_t* to) const;
};

}  // namespace trireme
