// SPDX-License-Identifier: Apache-2.0
// Finds the first gradient of a step that overflowed, without waiting for the device.
#pragma once

#include "trireme/ops/exec.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

/// After each use that added gradients, the device records the code of a gradient that is not
/// finite.
class Trainer::OverflowWatch final : public UnitObserver {
 public:
  /// For a rank on stage `stage` of `stages`.
  OverflowWatch(const Exec& ex, int stage, int stages);

  /// Queues a reset of the recorded code, as a step begins.
  void reset();
  void after(const UnitUse& use, Module& unit) override;
  /// Records code 0 if the array, outside of a step, holds an inf or NaN.
  void note(const ConstView& x);
  /// Queues a copy of the recorded code to `code`.
  void copy_code(std::int64_t* code);
  /// Whether a copied code names an array.
  [[nodiscard]] static bool found(std::int64_t code);

 private:
  const Exec& ex_;
  int stage_;
  int stages_;
  Tensor codes_;  ///< int64 [2]: least code of this step, code of no overflow
};

}  // namespace trireme
