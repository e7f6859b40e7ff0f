// SPDX-License-Identifier: Apache-2.0
// Clipping and updates.
#include "trireme/optim/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/update.hpp"

namespace trireme {

namespace {

View window(const View& flat, std::int64_t offset, std::int64_t count) {
  return flat.reshape(Shape{flat.count(), 1}).slice_rows(offset, count).reshape(Shape{count});
}

}  // namespace

Optimizer::Optimizer(const Exec& ex, const OptimizerConfig& config, ParameterStore& store)
    : config_(config), store_(store) {
  const DType type = store.values().dtype();
  const Shape all = store.values().shape();
  if (config.kind == OptimizerKind::adamw || config.momentum != 0) {
    first_ = ex.zeros(type, all);
  }
  if (config.kind == OptimizerKind::adamw) second_ = ex.zeros(type, all);
  const auto& parameters = store.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::int64_t begin = store.offset(i);
    const std::int64_t end = i + 1 < parameters.size() ? store.offset(i + 1) : all.count();
    if (spans_.empty() || spans_.back().decay != parameters[i]->decay) {
      spans_.push_back({begin, 0, parameters[i]->decay});
    }
    spans_.back().count += end - begin;
  }
}

double Optimizer::gradient_norm(const Exec& ex, const Mesh& mesh) const {
  const Tensor total = ex.zeros(DType::f64, Shape{1});
  for (const Parameter* p : store_.parameters()) {
    if (mesh.at.dp > 0 || p->tied_copy || (p->replicated_tp && mesh.at.tp > 0)) continue;
    ops::accumulate_squares(ex, p->grad.reshape(Shape{p->grad.count()}), total);
  }
  mesh.world->all_reduce(total, Reduction::sum);
  double squares = 0;
  ex.device.copy_to_host(&squares, total.view().raw(), sizeof squares, ex.stream);
  ex.stream.synchronize();
  return std::sqrt(squares);
}

void Optimizer::step(const Exec& ex, double lr, double norm) {
  ++steps_;
  // PyTorch's and DeepSpeed's clip_grad_norm_: the 1e-6 keeps a zero gradient finite.
  const double clip = config_.gradient_clipping > 0
                          ? std::min(1.0, config_.gradient_clipping / (norm + 1e-6))
                          : 1.0;
  for (const Span& s : spans_) {
    const double decay = s.decay ? config_.weight_decay : 0;
    const auto part = [&](const View& flat) { return window(flat, s.offset, s.count); };
    if (config_.kind == OptimizerKind::adamw) {
      ops::adamw(ex,
                 {.lr = lr,
                  .beta1 = config_.beta1,
                  .beta2 = config_.beta2,
                  .epsilon = config_.epsilon,
                  .weight_decay = decay,
                  .gradient_scale = clip,
                  .step = steps_},
                 part(store_.gradients()), part(store_.values()), part(first_), part(second_));
    } else {
      ops::sgd(ex,
               {.lr = lr,
                .momentum = config_.momentum,
                .weight_decay = decay,
                .gradient_scale = clip},
               part(store_.gradients()), part(store_.values()),
               first_.defined() ? part(first_) : View());
    }
  }
}

std::size_t Optimizer::state_bytes() const {
  std::size_t bytes = 0;
  for (const Tensor& t : {first_, second_}) bytes += t.defined() ? t.view().bytes() : 0;
  return bytes;
}

void Optimizer::visit_state(
    const std::function<void(const char* kind, const Parameter&, const View&)>& f) const {
  const auto each = [&](const char* kind, const Tensor& flat) {
    if (!flat.defined()) return;
    const auto& parameters = store_.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Parameter& p = *parameters[i];
      f(kind, p, window(flat, store_.offset(i), p.box.count()).reshape(p.box.extent));
    }
  };
  each(config_.kind == OptimizerKind::adamw ? "exp_avg" : "momentum", first_);
  each("exp_avg_sq", second_);
}

}  // namespace trireme
