// SPDX-License-Identifier: Apache-2.0
// The update: norm, clipping, AdamW or SGD on this rank's blocks, or on all at ZeRO stage 0.
#pragma once

#include <functional>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/optim/reducer.hpp"
#include "trireme/optim/values.hpp"

namespace trireme {

class Optimizer {
 public:
  /// All arguments but the configurations must outlive it.
  Optimizer(const Exec& ex, const OptimizerConfig& config, const ZeroConfig& zero,
            const PrecisionConfig& types, const FlatLayout& layout, const Mesh& mesh,
            ParameterValues& values, GradientReducer& gradients);

  /// Euclidean norm of the whole model's gradient as it stands after GradientReducer::finish(),
  /// each parameter once: one sum over all ranks, so that all clip by the same bits. inf or NaN
  /// if any element is. Collective over mesh.world.
  [[nodiscard]] double gradient_norm() const;
  /// Clips and updates. `norm` is of the gradient divided by `scale`, the loss's factor.
  /// Collective over dp.
  void step(double lr, double norm, double scale);

  /// Updates done, which AdamW's bias correction counts.
  [[nodiscard]] std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }
  [[nodiscard]] std::size_t state_bytes() const;
  /// A group's arrays by kind ("exp_avg", …).
  void visit_state(const std::function<void(const char* kind, std::size_t group,
                                            const FlatArray&)>& f) const;

 private:
  struct Group {
    std::vector<FlatSlice> own;      ///< this rank's, which the norm takes
    std::vector<FlatSlice> updated;  ///< those, or all
    FlatArray first;                 ///< exp_avg, or momentum
    FlatArray second;                ///< exp_avg_sq
  };

  void update(std::size_t group, const FlatSlice& slice, double lr, double gradient_scale);

  const Exec& ex_;
  OptimizerConfig config_;
  std::int64_t sub_group_size_;
  const Mesh& mesh_;
  ParameterValues& values_;
  GradientReducer& gradients_;
  std::vector<Group> groups_;
  std::int64_t steps_ = 0;
};

}  // namespace trireme
