// SPDX-License-Identifier: Apache-2.0
// 0/1 Adam (Lu et al., arXiv 2202.06009) in DeepSpeed's form. No phase corrects a bias.
#include <algorithm>
#include <cmath>

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/tensor_update.hpp"
#include "trireme/ops/update.hpp"

#include "momentum_means.hpp"
#include "zero_one_intervals.hpp"

namespace trireme {

namespace {

/// What a rank has for itself of one parameter.
struct LocalState {
  Tensor momentum;  ///< m
  Tensor change;    ///< u: the sum of local steps since the last mean
  Tensor rates;     ///< fp64 [rows]: the sum of their learning rates, equal in each row
  Tensor shared;    ///< θ during a local update, where no masters keep it
};

/// Exact updates are AdamW's without bias corrections. A compressed update takes the mean ĝ of
/// all ranks' gradients by signs: m ← β1·m + (1 − β1)·ĝ. Variance v stays. Both end with
///   θ ← θ − lr·(m / (√v + ε) + λ·θ)
/// In a local update, each rank computes its gradient at θ + u, and takes the step
///   m ← β1·m + (1 − β1)·g,   u ← u − lr·(m / (√v + ε) + λ·(θ + u))
/// A mean follows some of them, with L the sum of the steps' rates:
///   w = mean(u·(√v + ε)),   m ← −w / L,   θ ← θ + w / (√v + ε),   u ← 0
///
/// The values are θ between two steps, so that evaluations and checkpoints see what all ranks
/// share. begin() adds u. Elements without variance have no momentum, as in MomentumMeans.
class ZeroOneAdam final : public TensorUpdate {
 public:
  explicit ZeroOneAdam(const TensorUpdateParts& parts)
      : parts_(parts), means_(parts_), intervals_(parts_.config) {
    const Exec& ex = parts_.ex;
    const DType type = parts_.types.moments;
    for (const UpdatedTensor& t : parts_.tensors) {
      const Shape all{whole(t).count};
      LocalState& own = own_.emplace_back();
      own.momentum = ex.zeros(type, all);
      own.change = ex.zeros(type, all);
      own.rates = ex.zeros(DType::f64, Shape{t.parameter->box.extent[0]});
      if (!has_masters(t)) own.shared = ex.zeros(type, all);
    }
  }

  bool begin(std::int64_t updates) override {
    intervals_.move_to(updates);
    if (intervals_.is_first_local() && parts_.mesh.shape.dp > 1) clear_errors();
    for (std::size_t i = 0; intervals_.is_local() && i < own_.size(); ++i) leave(i);
    return !intervals_.is_exact();
  }

  void step(double lr, const ConstView& decision) override {
    const bool dry = parts_.ex.device.kind() == DeviceKind::dry;
    const bool updates = dry || updates_here(parts_.ex, decision);
    averaged_ = updates && (intervals_.is_local() ? intervals_.averages()  //
                                                  : !intervals_.is_exact());
    if (intervals_.is_local()) {
      if (updates) step_locally(lr, decision);
      for (std::size_t i = 0; i < own_.size(); ++i) come_back(i);
      return;
    }
    if (averaged_) take_mean_gradient(decision);
    for (std::size_t i = 0; i < own_.size(); ++i) {
      const UpdatedTensor& t = parts_.tensors[i];
      const bool exact = intervals_.is_exact();
      // A factor of 1 keeps the moments as they are.
      ops::adamw(parts_.ex, {.step = {.lr = lr * t.rule.lr_scale,
                                      .beta1 = exact ? parts_.config.beta1 : 1,
                                      .beta2 = exact ? parts_.config.beta2 : 1,
                                      .epsilon = parts_.config.epsilon,
                                      .weight_decay = t.rule.weight_decay},
                             .gradient = parts_.gradient(t, whole(t)),
                             .value = parts_.value(t, whole(t)),
                             .exp_avg = own_[i].momentum,
                             .exp_avg_sq = variance(t),
                             .copy = parts_.copy(t, whole(t)),
                             .state = decision});
    }
  }

  void visit_factors(const std::function<void(const char* kind, const Parameter&, int axis,
                                              const View& data)>& f) const override {
    each([&](const UpdatedTensor& t, const LocalState& own) {
      f("local_rates", *t.parameter, 0, own.rates);
    });
  }

  void visit_rows(const std::function<void(const char* kind, const Parameter&,
                                           const View& own)>& f) const override {
    means_.visit_rows(f);
    each([&](const UpdatedTensor& t, const LocalState& own) {
      f("local_exp_avg", *t.parameter, own.momentum);
      f("local_change", *t.parameter, own.change);
    });
  }

  void visit_server_errors(
      const std::function<void(const Parameter&, const View& error)>& f) const override {
    means_.visit_server_errors(f);
  }

  [[nodiscard]] std::size_t passing_bytes() const override {
    std::size_t n = 0;
    each([&](const UpdatedTensor& t, const LocalState& own) {
      if (!has_masters(t)) n += own.shared.view().bytes();
    });
    return n;
  }

  [[nodiscard]] std::int64_t traffic() const override {
    return averaged_ ? means_.traffic() : 0;
  }

 private:
  static const FlatSlice& whole(const UpdatedTensor& t) { return MomentumMeans::whole(t); }
  [[nodiscard]] View variance(const UpdatedTensor& t) const {
    return parts_.state(t.group, 0, whole(t));
  }
  [[nodiscard]] bool has_masters(const UpdatedTensor& t) const {
    return parts_.values.has_masters(t.group);
  }
  /// θ
  [[nodiscard]] View shared(std::size_t i) const {
    const UpdatedTensor& t = parts_.tensors[i];
    return has_masters(t) ? parts_.value(t, whole(t)) : own_[i].shared.view();
  }

  template <class F>
  void each(F&& f) const {
    for (std::size_t i = 0; i < own_.size(); ++i) f(parts_.tensors[i], own_[i]);
  }

  /// Calls f(T, i) for each parameter, with its type of moments. A dry device has no elements.
  template <class F>
  void each_typed(F&& f) const {
    if (parts_.ex.device.kind() == DeviceKind::dry) return;
    for (std::size_t i = 0; i < own_.size(); ++i) {
      if (parts_.types.moments == DType::f64) {
        f(double{}, i);
      } else {
        f(float{}, i);
      }
    }
  }

  // Errors of gradients don't compensate changes.
  void clear_errors() const {
    const auto clear = [&](const View& error) {
      parts_.ex.device.zero(error.raw(), error.bytes(), parts_.ex.stream);
    };
    means_.visit_rows([&](const char*, const Parameter&, const View& e) { clear(e); });
    means_.visit_server_errors([&](const Parameter&, const View& e) { clear(e); });
  }

  /// Moves the values from θ to θ + u.
  void leave(std::size_t i) const {
    const UpdatedTensor& t = parts_.tensors[i];
    if (!has_masters(t)) ops::copy(parts_.ex, parts_.value(t, whole(t)), shared(i));
    const Tensor there = parts_.ex.make(parts_.types.moments, shared(i).shape());
    ops::add(parts_.ex, shared(i), own_[i].change, there);
    parts_.values.values(t.group).put(parts_.ex, there, whole(t), 0);
  }

  void come_back(std::size_t i) const {
    const UpdatedTensor& t = parts_.tensors[i];
    parts_.values.values(t.group).put(parts_.ex, shared(i), whole(t), 0);
  }

  void take_mean_gradient(const ConstView& decision) {
    for (std::size_t i = 0; i < own_.size(); ++i) take_gradient(i, 0, own_[i].change, decision);
    compress(&LocalState::change);
    each_typed([&]<class T>(T, std::size_t i) {
      const auto beta1 = static_cast<T>(parts_.config.beta1);
      const View v = variance(parts_.tensors[i]);
      T* const m = own_[i].momentum.view().template data<T>();
      T* const g = own_[i].change.view().template data<T>();
      for (std::int64_t k = 0; k < v.count(); ++k) {
        m[k] = beta1 * m[k] + (v.data<T>()[k] == T{0} ? T{0} : (1 - beta1) * g[k]);
        g[k] = 0;
      }
    });
  }

  /// x ← beta·x + (1 − beta)·g, with the decision's factor on g.
  void take_gradient(std::size_t i, double beta, const View& x, const ConstView& decision) {
    const UpdatedTensor& t = parts_.tensors[i];
    ops::adam_moments(parts_.ex, {.beta1 = beta,
                                  .beta2 = 1,
                                  .gradient = parts_.gradient(t, whole(t)),
                                  .exp_avg = x,
                                  .exp_avg_sq = variance(t),
                                  .state = decision});
  }

  void compress(Tensor LocalState::*array) const {
    means_.compress([&](const UpdatedTensor& t) {
      return (own_[static_cast<std::size_t>(&t - parts_.tensors.data())].*array).view();
    });
  }

  void step_locally(double lr, const ConstView& decision) {
    for (std::size_t i = 0; i < own_.size(); ++i) {
      take_gradient(i, parts_.config.beta1, own_[i].momentum, decision);
    }
    each_typed([&]<class T>(T, std::size_t i) {
      const UpdateRule& rule = parts_.tensors[i].rule;
      const auto rate = static_cast<T>(lr * rule.lr_scale);
      const auto decay = static_cast<T>(rule.weight_decay);
      const auto epsilon = static_cast<T>(parts_.config.epsilon);
      const View v = variance(parts_.tensors[i]);
      const T* const x = shared(i).template data<T>();
      T* const m = own_[i].momentum.view().template data<T>();
      T* const u = own_[i].change.view().template data<T>();
      for (std::int64_t k = 0; k < v.count(); ++k) {
        const T square = v.data<T>()[k];
        if (square == T{0}) m[k] = 0;
        u[k] -= rate * (m[k] / (std::sqrt(square) + epsilon) + decay * (x[k] + u[k]));
      }
      const View rates = own_[i].rates;
      const double sum = *rates.data<double>() + lr * rule.lr_scale;
      std::fill_n(rates.data<double>(), rates.count(), sum);
    });
    if (averaged_) average_changes();
  }

  // The momentum's memory takes w. Changes without variance are decay, equal on all ranks.
  void average_changes() {
    each_typed([&]<class T>(T, std::size_t i) {
      const auto epsilon = static_cast<T>(parts_.config.epsilon);
      const View v = variance(parts_.tensors[i]);
      T* const w = own_[i].momentum.view().template data<T>();
      const T* const u = own_[i].change.view().template data<T>();
      for (std::int64_t k = 0; k < v.count(); ++k) {
        const T square = v.data<T>()[k];
        w[k] = square == T{0} ? T{0} : u[k] * (std::sqrt(square) + epsilon);
      }
    });
    compress(&LocalState::momentum);
    each_typed([&]<class T>(T, std::size_t i) {
      const auto epsilon = static_cast<T>(parts_.config.epsilon);
      const View rates = own_[i].rates;
      const auto sum = static_cast<T>(*rates.data<double>());
      const View v = variance(parts_.tensors[i]);
      T* const x = shared(i).template data<T>();
      T* const m = own_[i].momentum.view().template data<T>();
      T* const u = own_[i].change.view().template data<T>();
      for (std::int64_t k = 0; k < v.count(); ++k) {
        const T square = v.data<T>()[k];
        x[k] += square == T{0} ? u[k] : m[k] / (std::sqrt(square) + epsilon);
        m[k] = square == T{0} || sum == T{0} ? T{0} : -m[k] / sum;
        u[k] = 0;
      }
      std::fill_n(rates.data<double>(), rates.count(), 0.0);
    });
  }

  TensorUpdateParts parts_;
  MomentumMeans means_;
  ZeroOneIntervals intervals_;
  std::vector<LocalState> own_;
  bool averaged_ = false;  ///< the last step compressed a mean
};

}  // namespace

std::unique_ptr<TensorUpdate> make_zero_one_adam(const TensorUpdateParts& parts) {
  return std::make_unique<ZeroOneAdam>(parts);
}

}  // namespace trireme
