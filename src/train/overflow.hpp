// SPDX-License-Identifier: Apache-2.0
// Finds the first gradient of a step that overflowed, without waiting for the device.
#pragma once

#include "trireme/ops/exec.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

/// After each use that added gradients, the device notes the place of those that are not
/// finite.
class Trainer::OverflowWatch final : public UnitObserver {
 public:
  /// For a rank on stage `stage` of `stages`.
  OverflowWatch(const Exec& ex, int stage, int stages);

  /// A step begins: what was noted is forgotten. Queued.
  void reset();
  void after(const UnitUse& use, Module& unit) override;
  /// Copies the code of the first place to `code`. Queued.
  void copy_code(std::int64_t* code);

 private:
  const Exec& ex_;
  int stage_;
  int stages_;
  Tensor codes_;  ///< int64 [2]: the least code of this step, that of none
};

}  // namespace trireme
