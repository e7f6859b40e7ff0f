// SPDX-License-Identifier: Apache-2.0
// UnitObserver: what is called around each use of a model's units. ModelPart calls observers,
// the pipeline's executor announces the uses, and ZeRO (optim/zero.hpp) is an observer.
#pragma once

#include <vector>

#include "trireme/model/module.hpp"

namespace trireme {

/// Unit number `unit` of model part `part` of this rank.
struct UnitPlace {
  std::size_t part = 0;
  std::size_t unit = 0;
};

/// One call of a unit. The values of the unit's parameters must be bound during every pass.
/// Memory for gradients must be bound during backward, and during a training forward of a unit
/// with gradient_in_forward(). At other times no unit looks at a parameter's windows.
struct UnitUse {
  enum class Pass : std::uint8_t { forward, recompute, backward };
  std::size_t unit = 0;  ///< number in its part
  Pass pass = Pass::forward;
  bool training = true;  ///< false: an evaluation's forward, without gradients
  std::size_t part = 0;  ///< which of this rank's model parts
  int micro_batch = 0;   ///< number in the step

  [[nodiscard]] UnitPlace place() const { return {part, unit}; }
  friend bool operator==(const UnitUse&, const UnitUse&) = default;
};

/// Whether the use adds to the gradients of the unit's parameters.
[[nodiscard]] inline bool adds_gradients(const UnitUse& use, const Module& unit) {
  using Pass = UnitUse::Pass;
  return use.training &&
         use.pass == (unit.gradient_in_forward() ? Pass::forward : Pass::backward);
}

/// Every rank of dp makes these calls in one order. What an observer allocates may outlive the
/// micro-batch. If a CUDA graph computes a pass, all calls of the pass come before its work.
class UnitObserver {
 public:
  virtual ~UnitObserver() = default;
  /// A training step or an evaluation begins. Its uses will follow in the order of `uses`.
  virtual void begin(const std::vector<UnitUse>& /*uses*/) {}
  /// The unit is called next. Afterwards its parameters' windows must be as UnitUse says.
  virtual void before(const UnitUse& /*use*/, Module& /*unit*/) {}
  /// The unit's forward has returned `output`, which is undefined for the head. Recomputed
  /// forwards are not shown.
  virtual void observe(const UnitUse& /*use*/, Module& /*unit*/, const Tensor& /*output*/) {}
  /// The unit's call is over. After a backward, the gradients of parameters that no earlier
  /// unit shares are complete for this micro-batch.
  virtual void after(const UnitUse& /*use*/, Module& /*unit*/) {}
  /// The executor is between two steps of its plan. Communication may be polled here.
  virtual void progress() {}
};

/// before() is called in this order, after() in the reverse.
using UnitObservers = std::vector<UnitObserver*>;

/// One pass of a micro-batch through a model part, and its observers.
struct PartPass {
  std::size_t part = 0;  ///< see UnitUse
  int micro_batch = 0;
  UnitObservers observers = {};
};

}  // namespace trireme
