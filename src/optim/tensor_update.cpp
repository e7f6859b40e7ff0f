// SPDX-License-Identifier: Apache-2.0
// What updates by whole parameters share, and LAMB.
#include "tensor_update.hpp"

#include "trireme/ops/tensor_update.hpp"

namespace trireme {

UpdatedTensor make_tensor(const FlatLayout& layout, const Mesh& mesh, std::size_t group,
                          Parameter& parameter, bool whole, const UpdateRule& rule) {
  UpdatedTensor t;
  t.parameter = &parameter;
  t.group = group;
  t.rule = rule;
  const auto of_parameter = [&](const std::vector<FlatSlice>& slices) {
    std::vector<FlatSlice> mine;
    for (const FlatSlice& s : slices) {
      if (s.parameter == &parameter) mine.push_back(s);
    }
    return mine;
  };
  t.own = of_parameter(layout.slices(group, mesh.at.dp));
  t.updated = whole ? of_parameter(layout.whole_slices(group)) : t.own;
  const Shape& local = parameter.box.extent;
  t.columns = local.rank() > 1 ? local[local.rank() - 1] : 1;
  t.rows = local.count() / t.columns;
  const Shape& all = parameter.global_shape;
  t.global_columns = all.rank() > 1 ? all[all.rank() - 1] : 1;
  t.global_rows = all.count() / t.global_columns;
  t.over_tp = mesh.shape.tp > 1 && parameter.sharded_over.has(Axis::tp);
  return t;
}

TensorSums::TensorSums(const TensorUpdateParts& parts) : parts_(parts) {
  std::int64_t at = 0;
  places_.resize(parts.tensors.size());
  for (const bool over_tp : {true, false}) {
    for (std::size_t i = 0; i < parts.tensors.size(); ++i) {
      if (parts.tensors[i].over_tp == over_tp) places_[i] = 2 * at++;
    }
    if (over_tp) over_tp_ = 2 * at;
  }
  sums_ = parts.ex.zeros(DType::f64, Shape{2 * at});
}

void TensorSums::clear() {
  const View all = sums_;
  parts_.ex.device.zero(all.raw(), all.bytes(), parts_.ex.stream);
}

View TensorSums::of(std::size_t i) const { return flat_window(sums_, places_[i], 2); }

void TensorSums::reduce() {
  if (parts_.tensors.empty()) return;
  parts_.mesh.dp->all_reduce(sums_, Reduction::sum);
  if (over_tp_ > 0) parts_.mesh.tp->all_reduce(flat_window(sums_, 0, over_tp_), Reduction::sum);
}

namespace {

class Lamb final : public TensorUpdate {
 public:
  explicit Lamb(const TensorUpdateParts& parts) : parts_(parts), sums_(parts_) {}

  void step(double lr, const ConstView& decision) override {
    for (const UpdatedTensor& t : parts_.tensors) {
      for (const FlatSlice& s : t.updated) {
        ops::adam_moments(parts_.ex, {.beta1 = parts_.config.beta1,
                                      .beta2 = parts_.config.beta2,
                                      .gradient = parts_.gradient(t, s),
                                      .exp_avg = parts_.state(t.group, 0, s),
                                      .exp_avg_sq = parts_.state(t.group, 1, s),
                                      .state = decision});
      }
    }
    sums_.clear();
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      const UpdatedTensor& t = parts_.tensors[i];
      for (const FlatSlice& s : t.own) {
        ops::lamb_squares(parts_.ex, {.step = step_of(t, lr),
                                      .value = parts_.value(t, s),
                                      .exp_avg = parts_.state(t.group, 0, s),
                                      .exp_avg_sq = parts_.state(t.group, 1, s),
                                      .sums = sums_.of(i),
                                      .state = decision});
      }
    }
    sums_.reduce();
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      const UpdatedTensor& t = parts_.tensors[i];
      for (const FlatSlice& s : t.updated) {
        ops::lamb_update(parts_.ex, {.step = step_of(t, lr),
                                     .value = parts_.value(t, s),
                                     .exp_avg = parts_.state(t.group, 0, s),
                                     .exp_avg_sq = parts_.state(t.group, 1, s),
                                     .sums = sums_.of(i),
                                     .copy = parts_.copy(t, s),
                                     .state = decision});
      }
    }
  }

 private:
  [[nodiscard]] ops::LambStep step_of(const UpdatedTensor& t, double lr) const {
    return {.lr = lr * t.rule.lr_scale,
            .epsilon = parts_.config.epsilon,
            .weight_decay = t.rule.weight_decay,
            .max_coeff = parts_.config.max_coeff,
            .min_coeff = parts_.config.min_coeff};
  }

  TensorUpdateParts parts_;
  TensorSums sums_;
};

}  // namespace

std::unique_ptr<TensorUpdate> make_lamb(const TensorUpdateParts& parts) {
  return std::make_unique<Lamb>(parts);
}

}  // namespace trireme
