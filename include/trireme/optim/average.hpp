// SPDX-License-Identifier: Apache-2.0
// An exponential moving average of the values, which an evaluation may take in their place.
#pragma once

#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/optim/values.hpp"

namespace trireme {

/// Averages lie where the masters lie that this rank updates, and have their type.
class WeightAverage {
 public:
  /// All arguments must outlive the average, which begins as the values.
  WeightAverage(const Exec& ex, double decay, const ZeroConfig& zero, const FlatLayout& layout,
                const Mesh& mesh, ParameterValues& values);

  /// The averages are the values again.
  void restart() const;
  /// Takes the values in if `state`, a decided StepState, updated them.
  void update(const ConstView& state) const;
  /// Exchanges values and averages. Call ParameterValues::wait_for_values() first. Collective
  /// over dp.
  void swap() const;

  /// A group that trains. Ranks of dp hold all blocks at ZeRO's stage 0, else their own.
  [[nodiscard]] const FlatArray& array(std::size_t group) const { return arrays_[group]; }
  [[nodiscard]] std::size_t bytes() const;

 private:
  template <class F>
  void each(F&& f) const;

  const Exec& ex_;
  double decay_;
  const FlatLayout& layout_;
  const Mesh& mesh_;
  ParameterValues& values_;
  bool whole_;
  std::vector<FlatArray> arrays_;  ///< undefined for frozen groups
};

}  // namespace trireme
