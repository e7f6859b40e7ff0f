// SPDX-License-Identifier: Apache-2.0
// 1-bit LAMB (Li et al., arXiv 2104.06069) in DeepSpeed's form. Neither phase corrects a bias.
#include <algorithm>
#include <cmath>

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/tensor_update.hpp"

#include "momentum_means.hpp"

namespace trireme {

namespace {

/// What one parameter keeps, as arrays with an equal value for each row. Rows let a checkpoint
/// store and reshard the value as it does other factors.
struct Coefficients {
  Tensor frozen;  ///< c: the average trust ratio of the first phase
  Tensor factor;  ///< r: the last factor on c
};

/// The first freeze_step updates are LAMB's, with u = m / (√v + ε) + λ·θ. Trust ratios other
/// than 1 are averaged: c ← β·c + (1 − β)·ratio. The variance v then stays as it is, and the
/// momentum m becomes a compressed mean. The mean gradient that m contains,
/// g' = (m − β1·m') / (1 − β1) with the momentum m' before, keeps a second variance v' fresh:
///   r  = max((√v + ε) / (√v' + ε)) · s + 1 − s,  s = min(1, |m / (√v + ε)| / |u|)
/// With λ = 0, s is 1. The factor r is clipped to factor_min … factor_max, and to a change by
/// factor_threshold of the last r. Then θ ← θ − lr·c·r·u.
///
/// Each parameter's momentum has a scale of its own on the wire. DeepSpeed sends all momenta
/// with one scale, and therefore multiplies each by a coefficient first.
class OneBitLamb final : public TensorUpdate {
 public:
  explicit OneBitLamb(const TensorUpdateParts& parts)
      : parts_(parts),
        means_(parts_),
        sums_(parts_),
        ones_(parts.ex.zeros(DType::f64, Shape{2})) {
    for (const UpdatedTensor& t : parts_.tensors) {
      const Shape rows{t.parameter->box.extent[0]};
      kept_.push_back({parts.ex.zeros(DType::f64, rows), parts.ex.zeros(DType::f64, rows)});
      if (computes()) set(kept_.back().factor, 1);
    }
    if (computes()) set(ones_, 1);
  }

  bool begin(std::int64_t updates) override {
    frozen_ = updates >= parts_.config.freeze_step;
    first_frozen_ = updates == parts_.config.freeze_step;
    return frozen_;
  }

  void step(double lr, const ConstView& decision) override {
    if (computes() && !updates_here(parts_.ex, decision)) return;
    if (frozen_) {
      step_frozen(lr, decision);
    } else {
      step_warm(lr, decision);
    }
  }

  void visit_factors(const std::function<void(const char* kind, const Parameter&, int axis,
                                              const View& data)>& f) const override {
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      f("trust_ratio", *parts_.tensors[i].parameter, 0, kept_[i].frozen);
      f("trust_factor", *parts_.tensors[i].parameter, 0, kept_[i].factor);
    }
  }

  void visit_rows(const std::function<void(const char* kind, const Parameter&,
                                           const View& own)>& f) const override {
    means_.visit_rows(f);
  }
  void visit_server_errors(
      const std::function<void(const Parameter&, const View& error)>& f) const override {
    means_.visit_server_errors(f);
  }

  [[nodiscard]] std::int64_t traffic() const override { return means_.traffic(); }

 private:
  [[nodiscard]] bool computes() const { return parts_.ex.device.kind() != DeviceKind::dry; }

  static void set(const View& data, double value) {
    std::fill_n(data.data<double>(), data.count(), value);
  }
  static double value_of(const View& data) { return *data.data<double>(); }

  [[nodiscard]] View fresh(const UpdatedTensor& t) const {
    return parts_.state(t.group, 2, MomentumMeans::whole(t));
  }

  void step_warm(double lr, const ConstView& decision) {
    const OptimizerConfig& c = parts_.config;
    for (const UpdatedTensor& t : parts_.tensors) {
      ops::adam_moments(parts_.ex, {.beta1 = c.beta1,
                                    .beta2 = c.beta2,
                                    .gradient = parts_.gradient(t, MomentumMeans::whole(t)),
                                    .exp_avg = means_.momentum(t),
                                    .exp_avg_sq = means_.variance(t),
                                    .state = decision});
    }
    add_squares(true, decision);
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      double ratio = 1;
      if (computes()) {
        const double* const squares = sums_.of(i).data<double>();
        if (squares[0] != 0 && squares[1] != 0) {
          ratio = std::clamp(std::sqrt(squares[0] / squares[1]), c.min_coeff, c.max_coeff);
        }
        const double average = value_of(kept_[i].frozen);
        if (ratio != 1) {
          set(kept_[i].frozen, c.coeff_beta * average + (1 - c.coeff_beta) * ratio);
        }
      }
      apply(parts_.tensors[i], lr, ratio, decision);
    }
  }

  void step_frozen(double lr, const ConstView& decision) {
    std::vector<Tensor> before;
    for (const UpdatedTensor& t : parts_.tensors) {
      if (first_frozen_) ops::copy(parts_.ex, means_.variance(t), fresh(t));
      before.push_back(parts_.ex.make(parts_.types.moments, means_.momentum(t).shape()));
      ops::copy(parts_.ex, means_.momentum(t), before.back());
    }
    means_.average(decision);
    const Tensor factors =
        parts_.ex.zeros(DType::f64, Shape{static_cast<std::int64_t>(parts_.tensors.size())});
    for (std::size_t i = 0; computes() && i < parts_.tensors.size(); ++i) {
      factors.view().data<double>()[i] = parts_.types.moments == DType::f64
                                             ? refresh<double>(parts_.tensors[i], before[i])
                                             : refresh<float>(parts_.tensors[i], before[i]);
    }
    if (parts_.mesh.shape.tp > 1) parts_.mesh.tp->all_reduce(factors, Reduction::max);
    std::vector<double> shares(parts_.tensors.size(), 1);  // |m / (√v + ε)|²
    add_squares(false, decision);
    for (std::size_t i = 0; computes() && i < shares.size(); ++i) {
      shares[i] = sums_.of(i).data<double>()[1];
    }
    add_squares(true, decision);
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      double ratio = 1;
      if (computes()) {
        const double squares = sums_.of(i).data<double>()[1];
        const double share = squares > 0 ? std::min(1.0, std::sqrt(shares[i] / squares)) : 1;
        const bool decays = parts_.tensors[i].rule.weight_decay > 0;
        ratio = next_ratio(i, factors.view().data<double>()[i], decays ? share : 1);
      }
      apply(parts_.tensors[i], lr, ratio, decision);
    }
  }

  /// Updates v', and returns max((√v + ε) / (√v' + ε)) of this rank's elements.
  template <class T>
  double refresh(const UpdatedTensor& t, const ConstView& momentum_before) const {
    const auto beta1 = static_cast<T>(parts_.config.beta1);
    const auto beta2 = static_cast<T>(parts_.config.beta2);
    const auto epsilon = static_cast<T>(parts_.config.epsilon);
    const T* const before = momentum_before.data<T>();
    const T* const m = means_.momentum(t).data<T>();
    const T* const v = means_.variance(t).data<T>();
    T* const again = fresh(t).data<T>();
    T most = 0;
    for (std::int64_t i = 0; i < momentum_before.count(); ++i) {
      const T g = (m[i] - beta1 * before[i]) / (1 - beta1);
      again[i] = beta2 * again[i] + (1 - beta2) * g * g;
      most = std::max(most, (std::sqrt(v[i]) + epsilon) / (std::sqrt(again[i]) + epsilon));
    }
    return static_cast<double>(most);
  }

  /// c·r of parameter number `i`, whose r is kept.
  [[nodiscard]] double next_ratio(std::size_t i, double most, double share) const {
    const OptimizerConfig& c = parts_.config;
    const double last = value_of(kept_[i].factor);
    double factor = most * share + (1 - share);
    factor = std::max(std::min(factor, c.factor_max), c.factor_min);
    factor = std::min(factor, last * (1 + c.factor_threshold));
    factor = std::max(factor, last * (1 - c.factor_threshold));
    set(kept_[i].factor, factor);
    return value_of(kept_[i].frozen) * factor;
  }

  /// Σ θ² and Σ u² of all parameters, with decay or without.
  void add_squares(bool with_decay, const ConstView& decision) {
    sums_.clear();
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      const UpdatedTensor& t = parts_.tensors[i];
      for (const FlatSlice& s : t.own) {
        ops::lamb_squares(parts_.ex,
                          {.step = {.epsilon = parts_.config.epsilon,
                                    .weight_decay = with_decay ? t.rule.weight_decay : 0},
                           .value = parts_.value(t, s),
                           .exp_avg = parts_.state(t.group, 0, s),
                           .exp_avg_sq = parts_.state(t.group, 1, s),
                           .sums = sums_.of(i),
                           .state = decision});
      }
    }
    sums_.reduce();
  }

  void apply(const UpdatedTensor& t, double lr, double ratio, const ConstView& decision) const {
    const FlatSlice& s = MomentumMeans::whole(t);
    // Bounds that are equal give the ratio, whatever the sums.
    ops::lamb_update(parts_.ex, {.step = {.lr = lr * t.rule.lr_scale,
                                          .epsilon = parts_.config.epsilon,
                                          .weight_decay = t.rule.weight_decay,
                                          .max_coeff = ratio,
                                          .min_coeff = ratio},
                                 .value = parts_.value(t, s),
                                 .exp_avg = means_.momentum(t),
                                 .exp_avg_sq = means_.variance(t),
                                 .sums = ones_,
                                 .copy = parts_.copy(t, s),
                                 .state = decision});
  }

  TensorUpdateParts parts_;
  MomentumMeans means_;
  TensorSums sums_;
  Tensor ones_;  ///< sums that decide nothing
  std::vector<Coefficients> kept_;
  bool frozen_ = false;
  bool first_frozen_ = false;
};

}  // namespace

std::unique_ptr<TensorUpdate> make_one_bit_lamb(const TensorUpdateParts& parts) {
  return std::make_unique<OneBitLamb>(parts);
}

}  // namespace trireme
