// SPDX-License-Identifier: Apache-2.0
// ZeRO around each use of a unit: gathers parameters before the use, and reduces gradients
// after.
#pragma once

#include "trireme/core/clock.hpp"
#include "trireme/model/unit_observer.hpp"
#include "trireme/optim/reducer.hpp"
#include "trireme/optim/values.hpp"

namespace trireme {

/// All calls are collective over dp: every rank makes them in one order.
class ZeroObserver final : public UnitObserver {
 public:
  /// All arguments must outlive the observer. Communication counts as Phase::reduce on `clock`.
  ZeroObserver(ParameterValues& values, GradientReducer& gradients, PhaseClock& clock)
      : values_(values), gradients_(gradients), clock_(clock) {}

  void begin(const std::vector<UnitUse>& uses) override;
  /// Gathers and binds the unit's values. Binds memory for gradients that the use will add.
  void before(const UnitUse& use, Module& unit) override;
  /// After backward, starts the reduction of the unit's gradients. Frees values that no next
  /// use needs.
  void after(const UnitUse& use, Module& unit) override;
  /// Polls reductions under way.
  void progress() override;

 private:
  ParameterValues& values_;
  GradientReducer& gradients_;
  PhaseClock& clock_;
};

}  // namespace trireme
