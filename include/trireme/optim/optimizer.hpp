// SPDX-License-Identifier: Apache-2.0
// The update: norm, clipping, AdamW or SGD on the flat arrays.
#pragma once

#include <functional>

#include "trireme/comm/mesh.hpp"
#include "trireme/model/parameter.hpp"
#include "trireme/optim/config.hpp"

namespace trireme {

class Optimizer {
 public:
  Optimizer(const Exec& ex, const OptimizerConfig& config, ParameterStore& store);

  /// Euclidean norm of the whole model's gradient, each parameter once: one sum over all ranks,
  /// so that replicas clip by the same bits. Collective over mesh.world.
  [[nodiscard]] double gradient_norm(const Exec& ex, const Mesh& mesh) const;
  /// Clips by `norm` and updates all values.
  void step(const Exec& ex, double lr, double norm);

  /// Updates done, which AdamW's bias correction counts.
  [[nodiscard]] std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }
  [[nodiscard]] std::size_t state_bytes() const;
  /// f(kind, parameter, window) for each parameter and each kind of state ("exp_avg", …).
  void visit_state(
      const std::function<void(const char* kind, const Parameter&, const View&)>& f) const;

 private:
  /// Neighbouring parameters that are treated alike.
  struct Span {
    std::int64_t offset = 0;
    std::int64_t count = 0;
    bool decay = false;
  };

  OptimizerConfig config_;
  ParameterStore& store_;
  std::vector<Span> spans_;
  Tensor first_;   ///< exp_avg, or momentum
  Tensor second_;  ///< exp_avg_sq
  std::int64_t steps_ = 0;
};

}  // namespace trireme
