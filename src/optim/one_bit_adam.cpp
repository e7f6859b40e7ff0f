// SPDX-License-Identifier: Apache-2.0
// 1-bit Adam (Tang et al., arXiv 2102.02888) in DeepSpeed's form. Neither phase corrects a
// bias.
#include <cmath>

#include "trireme/ops/tensor_update.hpp"
#include "trireme/ops/update.hpp"
#include "trireme/optim/compressed_mean.hpp"

#include "tensor_update.hpp"

namespace trireme {

namespace {

/// The first freeze_step updates are AdamW's without bias corrections. The variance v then
/// stays as it is. Each rank updates the momentum by its own gradient, and the compressed mean
/// over dp replaces the momentum:
///   m ← mean(β1·m + (1 − β1)·g)
///   θ ← θ − lr·(m / (√v + ε) + λ·θ)
/// An element without variance had no gradient so far. A sign would move the element by a scale
/// over ε, and therefore its momentum stays 0. DeepSpeed's exp_avg_mask is for such elements.
class OneBitAdam final : public TensorUpdate {
 public:
  explicit OneBitAdam(const TensorUpdateParts& parts) : parts_(parts) {
    if (parts_.mesh.shape.dp == 1) return;  // one rank compresses nothing
    for (std::size_t i = 0; i < parts_.tensors.size();) {
      const std::size_t group = parts_.tensors[i].group;
      std::vector<std::int64_t> counts;
      for (; i < parts_.tensors.size() && parts_.tensors[i].group == group; ++i) {
        counts.push_back(whole(parts_.tensors[i]).count);
      }
      means_.emplace_back(parts_.ex, *parts_.mesh.dp, std::move(counts), parts_.types.moments);
    }
  }

  bool begin(std::int64_t updates) override {
    frozen_ = updates >= parts_.config.freeze_step;
    return frozen_;
  }

  void step(double lr, const ConstView& decision) override {
    if (frozen_) average_momentum(decision);
    for (const UpdatedTensor& t : parts_.tensors) {
      const FlatSlice& s = whole(t);
      // A factor of 1 keeps the moments as they are.
      ops::adamw(parts_.ex, {.step = {.lr = lr * t.rule.lr_scale,
                                      .beta1 = frozen_ ? 1 : parts_.config.beta1,
                                      .beta2 = frozen_ ? 1 : parts_.config.beta2,
                                      .epsilon = parts_.config.epsilon,
                                      .weight_decay = t.rule.weight_decay},
                             .gradient = parts_.gradient(t, s),
                             .value = parts_.value(t, s),
                             .exp_avg = momentum(t),
                             .exp_avg_sq = variance(t),
                             .copy = parts_.copy(t, s),
                             .state = decision});
    }
  }

  void visit_errors(const std::function<void(const Parameter&, const View& worker,
                                             const View& server)>& f) const override {
    each_mean([&](const CompressedMean& mean, std::span<const UpdatedTensor> tensors) {
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        f(*tensors[i].parameter, mean.worker_error(i), mean.server_error(i));
      }
    });
  }

  [[nodiscard]] std::int64_t traffic() const override {
    std::int64_t n = 0;
    for (const CompressedMean& m : means_) n += m.traffic();
    return n;
  }

 private:
  /// Each rank holds whole parameters at stage 0.
  static const FlatSlice& whole(const UpdatedTensor& t) { return t.updated.front(); }
  [[nodiscard]] View momentum(const UpdatedTensor& t) const {
    return parts_.state(t.group, 0, whole(t));
  }
  [[nodiscard]] View variance(const UpdatedTensor& t) const {
    return parts_.state(t.group, 1, whole(t));
  }

  template <class F>
  void each_mean(F&& f) const {
    std::size_t first = 0;
    for (const CompressedMean& mean : means_) {
      std::size_t end = first + 1;
      const auto& all = parts_.tensors;
      while (end < all.size() && all[end].group == all[first].group) ++end;
      f(mean, std::span(all).subspan(first, end - first));
      first = end;
    }
  }

  void average_momentum(const ConstView& decision) const {
    const bool computes = parts_.ex.device.kind() != DeviceKind::dry;
    if (computes && static_cast<const StepState*>(decision.raw())->updated == 0) return;
    for (const UpdatedTensor& t : parts_.tensors) {
      ops::adam_moments(parts_.ex, {.beta1 = parts_.config.beta1,
                                    .beta2 = 1,
                                    .gradient = parts_.gradient(t, whole(t)),
                                    .exp_avg = momentum(t),
                                    .exp_avg_sq = variance(t),
                                    .state = decision});
    }
    each_mean([&](const CompressedMean& mean, std::span<const UpdatedTensor> tensors) {
      std::vector<View> momenta;
      for (const UpdatedTensor& t : tensors) momenta.push_back(momentum(t));
      mean.average(momenta);
    });
    if (!computes) return;
    for (const UpdatedTensor& t : parts_.tensors) {
      if (parts_.types.moments == DType::f64) {
        keep_still<double>(momentum(t), variance(t));
      } else {
        keep_still<float>(momentum(t), variance(t));
      }
    }
  }

  /// Elements without variance get no momentum.
  template <class T>
  static void keep_still(const View& momentum, const ConstView& variance) {
    T* const m = momentum.data<T>();
    const T* const v = variance.data<T>();
    for (std::int64_t i = 0; i < momentum.count(); ++i) m[i] = v[i] == T{0} ? T{0} : m[i];
  }

  TensorUpdateParts parts_;
  std::vector<CompressedMean> means_;  ///< one for each group that trains
  bool frozen_ = false;
};

}  // namespace

std::unique_ptr<TensorUpdate> make_one_bit_adam(const TensorUpdateParts& parts) {
  return std::make_unique<OneBitAdam>(parts);
}

}  // namespace trireme
