// SPDX-License-Identifier: Apache-2.0
// The gradient noise scale: how many samples a batch may have before more of them help little
// (McCandlish et al., arXiv 1812.06162).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/ops/step_state.hpp"
#include "trireme/optim/reducer.hpp"

namespace trireme {

/// The mean gradient of a window of steps: this rank's blocks alone. Iterations n·window end a
/// window. A step that overflowed leaves the mean as it is.
class WindowGradient {
 public:
  /// All arguments but numbers must outlive the object.
  WindowGradient(const Exec& ex, std::int64_t window, const FlatLayout& layout,
                 const Mesh& mesh, const GradientReducer& gradients);

  /// Takes in the sums of a step. `state` is a StepState with the inputs of `rule`'s decision.
  /// Collective over the mesh where the iteration ends a window.
  void add(std::int64_t iteration, StepRule rule, const ConstView& state);
  /// fp64 [1]: the square of the mean gradient's norm, after the last step of a window.
  [[nodiscard]] View squares() const { return squares_; }
  [[nodiscard]] std::size_t bytes() const;

 private:
  [[nodiscard]] bool counts_here(const Parameter& p) const;

  const Exec& ex_;
  std::int64_t window_;
  const FlatLayout& layout_;
  const Mesh& mesh_;
  const GradientReducer& gradients_;
  std::vector<FlatArray> means_;  ///< undefined for frozen groups
  Tensor decision_;               ///< a StepState without clipping
  Tensor squares_;
};

/// The estimate, from gradients g of B samples and G of n·B samples. Their |g|² and |G|² give
/// unbiased estimates of the true gradient's square and of the covariance's trace. Moving
/// averages of both are divided.
class NoiseScale {
 public:
  explicit NoiseScale(std::int64_t window) : window_(window) {}
  struct Step {
    std::int64_t iteration = 0;
    std::int64_t samples = 0;
    bool sound = true;         ///< the gradient is finite
    double square = 0;         ///< |g|²
    double window_square = 0;  ///< |G|², where the iteration ends a window
  };
  /// The noise scale in samples once a window of sound steps of equal batches ends.
  [[nodiscard]] std::optional<double> add(const Step& step);

 private:
  std::int64_t window_;
  std::int64_t steps_ = 0;  ///< sound steps of the window
  std::int64_t samples_ = 0;
  double square_ = 0;  ///< mean of |g|² over them
  double gradient_ = 0;
  double noise_ = 0;
};

}  // namespace trireme
