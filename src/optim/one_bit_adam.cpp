// SPDX-License-Identifier: Apache-2.0
// 1-bit Adam (Tang et al., arXiv 2102.02888) in DeepSpeed's form. Neither phase corrects a
// bias.
#include "trireme/ops/update.hpp"

#include "momentum_means.hpp"

namespace trireme {

namespace {

/// The first freeze_step updates are AdamW's without bias corrections. The variance v then
/// stays as it is, and the momentum m becomes a compressed mean:
///   θ ← θ − lr·(m / (√v + ε) + λ·θ)
class OneBitAdam final : public TensorUpdate {
 public:
  explicit OneBitAdam(const TensorUpdateParts& parts) : parts_(parts), means_(parts_) {}

  bool begin(std::int64_t updates) override {
    frozen_ = updates >= parts_.config.freeze_step;
    return frozen_;
  }

  void step(double lr, const ConstView& decision) override {
    const bool dry = parts_.ex.device.kind() == DeviceKind::dry;
    if (frozen_ && (dry || updates_here(parts_.ex, decision))) means_.average(decision);
    for (const UpdatedTensor& t : parts_.tensors) {
      const FlatSlice& s = MomentumMeans::whole(t);
      // A factor of 1 keeps the moments as they are.
      ops::adamw(parts_.ex, {.step = {.lr = lr * t.rule.lr_scale,
                                      .beta1 = frozen_ ? 1 : parts_.config.beta1,
                                      .beta2 = frozen_ ? 1 : parts_.config.beta2,
                                      .epsilon = parts_.config.epsilon,
                                      .weight_decay = t.rule.weight_decay},
                             .gradient = parts_.gradient(t, s),
                             .value = parts_.value(t, s),
                             .exp_avg = means_.momentum(t),
                             .exp_avg_sq = means_.variance(t),
                             .copy = parts_.copy(t, s),
                             .state = decision});
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
  TensorUpdateParts parts_;
  MomentumMeans means_;
  bool frozen_ = false;
};

}  // namespace

std::unique_ptr<TensorUpdate> make_one_bit_adam(const TensorUpdateParts& parts) {
  return std::make_unique<OneBitAdam>(parts);
}

}  // namespace trireme
