// SPDX-License-Identifier: Apache-2.0
// Means of gradients over windows of steps, and what their norms say.
#include "trireme/optim/gradient_noise.hpp"

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/update.hpp"

namespace trireme {

WindowGradient::WindowGradient(const Exec& ex, std::int64_t window, const FlatLayout& layout,
                               const Mesh& mesh, const GradientReducer& gradients)
    : ex_(ex),
      window_(window),
      layout_(layout),
      mesh_(mesh),
      gradients_(gradients),
      decision_(ex.make(DType::f64, Shape{StepState::kSlots})),
      squares_(ex.zeros(DType::f64, Shape{1})) {
  for (std::size_t i = 0; i < layout.groups().size(); ++i) {
    const FlatGroup& g = layout.groups()[i];
    if (!g.trains) {
      means_.emplace_back();
      continue;
    }
    const DType type = accumulator_type(gradients.sums(i).data.dtype());
    means_.push_back(FlatArray::zeros(ex, type, g, layout.ranks() == 1, layout.ranks()));
  }
}

bool WindowGradient::counts_here(const Parameter& p) const {
  return p.role != ParameterRole::tied_copy &&
         (p.sharded_over.has(Axis::tp) || mesh_.at.tp == 0);
}

void WindowGradient::add(std::int64_t iteration, StepRule rule, const ConstView& state) {
  rule.clip = 0;
  rule.interval = 0;
  ops::copy(ex_, state, decision_);
  ops::decide_step(ex_, {.rule = rule, .state = decision_});
  // mean + (g − mean) / k is a step of SGD with the rate −1 / k and a decay of −1.
  const auto k = static_cast<double>((iteration - 1) % window_ + 1);
  const bool ends = iteration % window_ == 0;
  if (ends) ex_.device.zero(squares_.view().raw(), sizeof(double), ex_.stream);
  for (std::size_t i = 0; i < means_.size(); ++i) {
    if (!means_[i].defined()) continue;
    for (const FlatSlice& s : layout_.slices(i, mesh_.at.dp)) {
      if (!counts_here(*s.parameter)) continue;
      SgdStep step;
      step.lr = -1 / k;
      step.weight_decay = -1;
      ops::sgd(ex_, {.step = step,
                     .gradient = gradients_.sums(i).part(s),
                     .value = means_[i].part(s),
                     .state = decision_});
      if (ends) ops::accumulate_squares(ex_, means_[i].part(s), squares_);
    }
  }
  if (ends) mesh_.everyone().all_reduce(squares_, Reduction::sum);
}

std::size_t WindowGradient::bytes() const {
  std::size_t n = decision_.view().bytes() + squares_.view().bytes();
  for (const FlatArray& a : means_) n += a.bytes();
  return n;
}

std::optional<double> NoiseScale::add(const Step& step) {
  constexpr double kMemory = 0.99;  // GPT-NeoX's
  const bool begins = (step.iteration - 1) % window_ == 0;
  if (begins) {
    steps_ = 0;
    square_ = 0;
    samples_ = step.samples;
  }
  if (step.sound && step.samples == samples_) {
    ++steps_;
    square_ += step.square / static_cast<double>(window_);
  }
  if (step.iteration % window_ != 0 || steps_ != window_) return std::nullopt;
  const auto small = static_cast<double>(samples_);
  const double large = small * static_cast<double>(window_);
  const double gradient = (large * step.window_square - small * square_) / (large - small);
  const double noise = (square_ - step.window_square) / (1 / small - 1 / large);
  gradient_ = kMemory * gradient_ + (1 - kMemory) * gradient;
  noise_ = kMemory * noise_ + (1 - kMemory) * noise;
  return noise_ / gradient_;
}

}  // namespace trireme
