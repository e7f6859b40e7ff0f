// SPDX-License-Identifier: Apache-2.0
// Muon (Jordan et al., 2024): matrices of layers move by their orthogonalized momentum, and all
// other parameters by AdamW. Ranks of dp share the matrices of a group: a matrix is
// orthogonalized on one of them, which sends the result to the others.
#include <algorithm>
#include <cmath>

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/gemm.hpp"
#include "trireme/ops/tensor_update.hpp"
#include "trireme/ops/update.hpp"

#include "tensor_update.hpp"

namespace trireme {

bool is_orthogonalized(const Parameter& parameter) {
  return parameter.global_shape.rank() == 2 && parameter.role == ParameterRole::weight &&
         !parameter.name.starts_with("embed");
}

namespace {

constexpr int kIterations = 5;
constexpr double kA = 3.4445;
constexpr double kB = -4.7750;
constexpr double kC = 2.0315;
constexpr double kEpsilon = 1e-7;

class Muon final : public TensorUpdate {
 public:
  explicit Muon(const TensorUpdateParts& parts) : parts_(parts) {
    // The original iterates in bf16, and fp16 would lose small singular values.
    type_ = parts.types.compute == DType::f16 ? DType::f32 : parts.types.compute;
    wide_ = accumulator_type(type_);
  }

  void step(double lr, const ConstView& decision) override {
    const auto& tensors = parts_.tensors;
    for (std::size_t begin = 0; begin < tensors.size();) {
      std::size_t end = begin;
      while (end < tensors.size() && tensors[end].group == tensors[begin].group) ++end;
      step_group(begin, end, lr, decision);
      begin = end;
    }
  }

 private:
  void step_group(std::size_t begin, std::size_t end, double lr, const ConstView& decision) {
    std::vector<const UpdatedTensor*> matrices;
    for (std::size_t i = begin; i < end; ++i) {
      const UpdatedTensor& t = parts_.tensors[i];
      if (is_orthogonalized(*t.parameter)) {
        matrices.push_back(&t);
      } else {
        by_adamw(t, lr, decision);
      }
    }
    if (matrices.empty()) return;
    const std::size_t group = matrices.front()->group;
    const int ranks = parts_.layout.ranks();
    // Own blocks of all matrices, and then the blocks of the other ranks.
    const FlatArray directions =
        FlatArray::zeros(parts_.ex, wide_, parts_.layout.groups()[group], true, ranks);
    for (const UpdatedTensor* t : matrices) {
      for (const FlatSlice& s : t->updated) {
        ops::muon_direction(parts_.ex, {.momentum = parts_.config.momentum,
                                        .gradient = parts_.gradient(*t, s),
                                        .buffer = parts_.state(group, 0, s),
                                        .direction = directions.part(s),
                                        .state = decision});
      }
    }
    if (!parts_.whole) gather_blocks(*parts_.mesh.dp, parts_.layout, group, directions);
    // A dry run stands for all ranks of dp: the memory of the largest matrix counts.
    const bool all = parts_.ex.device.kind() == DeviceKind::dry;
    for (std::size_t i = 0; i < matrices.size(); ++i) {
      if (all || owner(i) == parts_.mesh.at.dp) {
        orthogonalize(*matrices[i], matrix_of(*matrices[i], directions));
      }
    }
    for (std::size_t i = 0; i < matrices.size(); ++i) {
      const UpdatedTensor& t = *matrices[i];
      if (ranks > 1) parts_.mesh.dp->broadcast(matrix_of(t, directions), owner(i));
      for (const FlatSlice& s : t.updated) apply(t, s, directions, lr, decision);
    }
  }

  [[nodiscard]] int owner(std::size_t i) const {
    return static_cast<int>(i % static_cast<std::size_t>(parts_.layout.ranks()));
  }

  /// This rank of tp's shard of a matrix.
  [[nodiscard]] View matrix_of(const UpdatedTensor& t, const FlatArray& directions) const {
    const FlatGroup& g = parts_.layout.groups()[t.group];
    const auto at = std::ranges::find(g.parameters, t.parameter) - g.parameters.begin();
    return flat_window(directions.data, g.offsets[static_cast<std::size_t>(at)],
                       t.rows * t.columns)
        .reshape(Shape{t.rows, t.columns});
  }

  /// Replaces a shard by that of the orthogonalized matrix. Collective over tp.
  void orthogonalize(const UpdatedTensor& t, const View& shard) const {
    if (!t.over_tp) return newton_schulz(shard);
    const Box& box = t.parameter->box;
    const Tensor all = parts_.ex.zeros(wide_, Shape{t.global_rows, t.global_columns});
    const View mine =
        all.view().slice_rows(box.offset[0], t.rows).slice_cols(box.offset[1], t.columns);
    ops::copy(parts_.ex, shard, mine);
    parts_.mesh.tp->all_reduce(all, Reduction::sum);
    newton_schulz(all);
    ops::copy(parts_.ex, mine, shard);
  }

  /// Five steps of x ← a·x + (b·A + c·A²)·x with A = x·xᵀ, for a wide x of norm ≤ 1. A tall
  /// matrix takes A = xᵀ·x from the other side, which gives the transpose of the same result.
  void newton_schulz(const View& matrix) const {
    const Exec& ex = parts_.ex;
    const bool tall = matrix.rows() > matrix.cols();
    const std::int64_t n = std::min(matrix.rows(), matrix.cols());
    const Tensor squares = ex.zeros(DType::f64, Shape{1});
    ops::accumulate_squares(ex, matrix, squares);
    Tensor x = ex.make(type_, matrix.shape());
    ops::normalize(ex, {.x = matrix, .squares = squares, .epsilon = kEpsilon, .y = x});
    const Tensor gram = ex.make(type_, Shape{n, n});
    Tensor next = ex.make(type_, matrix.shape());
    const Tensor mixed = ex.make(type_, Shape{n, n});
    for (int i = 0; i < kIterations; ++i) {
      ops::gemm_into(ex, {.a = x,
                          .op_a = tall ? Op::t : Op::n,
                          .b = x,
                          .op_b = tall ? Op::n : Op::t,
                          .c = gram});
      ops::scale(ex, {.x = gram, .factor = kB, .y = mixed});
      ops::gemm_into(ex, {.a = gram, .b = gram, .c = mixed, .alpha = kC, .beta = 1});
      ops::scale(ex, {.x = x, .factor = kA, .y = next});
      ops::gemm_into(ex, {.a = tall ? x : mixed, .b = tall ? mixed : x, .c = next, .beta = 1});
      std::swap(x, next);
    }
    ops::cast(ex, x, matrix);
  }

  void apply(const UpdatedTensor& t, const FlatSlice& s, const FlatArray& directions, double lr,
             const ConstView& decision) const {
    const double rate = lr * t.rule.lr_scale * scale(parts_.config.muon_lr);
    const double shape =
        static_cast<double>(t.global_rows) / static_cast<double>(t.global_columns);
    ops::apply_direction(parts_.ex, {.rate = rate * std::sqrt(std::max(1.0, shape)),
                                     .decay = rate * t.rule.weight_decay,
                                     .direction = directions.part(s),
                                     .value = parts_.value(t, s),
                                     .copy = parts_.copy(t, s),
                                     .state = decision});
  }

  void by_adamw(const UpdatedTensor& t, double lr, const ConstView& decision) const {
    for (const FlatSlice& s : t.updated) {
      ops::adamw(parts_.ex, {.step = {.lr = lr * t.rule.lr_scale * scale(parts_.config.adam_lr),
                                      .beta1 = parts_.config.beta1,
                                      .beta2 = parts_.config.beta2,
                                      .epsilon = parts_.config.epsilon,
                                      .weight_decay = t.rule.weight_decay},
                             .gradient = parts_.gradient(t, s),
                             .value = parts_.value(t, s),
                             .exp_avg = parts_.state(t.group, 0, s),
                             .exp_avg_sq = parts_.state(t.group, 1, s),
                             .copy = parts_.copy(t, s),
                             .state = decision});
    }
  }

  /// A key's learning rate as a factor on that of the schedule.
  [[nodiscard]] double scale(double own) const {
    return own > 0 && parts_.config.peak_lr > 0 ? own / parts_.config.peak_lr : 1;
  }

  TensorUpdateParts parts_;
  DType type_;  ///< in which x iterates
  DType wide_;
};

}  // namespace

std::unique_ptr<TensorUpdate> make_muon(const TensorUpdateParts& parts) {
  return std::make_unique<Muon>(parts);
}

}  // namespace trireme
