// SPDX-License-Identifier: Apache-2.0
// Low-rank adapters.
#include "adapter.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "trireme/model/name_pattern.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/gemm.hpp"

namespace trireme {

namespace {

/// Calls f with dropout(x), which shares x's memory if there is no dropout.
void with_dropped(const Exec& ex, const ConstView& x, const Dropout& dropout,
                  const std::function<void(const ConstView&)>& f) {
  if (dropout.probability == 0) return f(x);
  const Tensor dropped = ex.make(x.dtype(), x.shape());
  ops::apply_dropout(ex, {.x = x, .dropout = dropout, .y = dropped});
  f(dropped);
}

}  // namespace

double LoraConfig::scale() const {
  const auto r = static_cast<double>(rank);
  return alpha / (use_rslora ? std::sqrt(r) : r);
}

bool has_adapter(const LoraConfig& config, std::string_view matrix) {
  if (!config.enabled()) return false;
  if (config.targets.empty()) return true;
  constexpr std::string_view kLayers = "layers.";
  std::string_view in_layer = matrix;
  if (matrix.starts_with(kLayers)) {
    in_layer.remove_prefix(std::min(matrix.find('.', kLayers.size()) + 1, matrix.size()));
  }
  const std::string_view last = matrix.substr(matrix.rfind('.') + 1);
  return std::ranges::any_of(config.targets, [&](const std::string& target) {
    const NamePattern pattern(target);
    return pattern.matches(last) || pattern.matches(in_layer);
  });
}

Adapter::Adapter(const std::string& name, const LoraConfig& config, const Parameter& weight,
                 const TensorParallel& tp)
    : scale_(config.scale()),
      dropout_(config.dropout),
      stream_(stream_of(name + ".lora_dropout")) {
  const auto make = [&](const char* which, Shape global, Box box, InitMethod init) {
    Parameter p;
    p.name = fmt::format("{}.lora_{}.weight", name, which);
    p.global_shape = global;
    p.box = box;
    p.init = init;
    p.role = ParameterRole::adapter;
    // Where each rank has the whole array, each has an addend of its gradient.
    if (!(box.extent == global)) {
      p.sharded_over = {Axis::tp};
    } else if (tp.size() > 1) {
      p.sum_over = {Axis::tp};
    }
    return p;
  };
  const Box& w = weight.box;
  const std::int64_t r = config.rank;
  a_ = make("A", Shape{r, weight.global_shape[1]},
            Box(Shape{0, w.offset[1]}, Shape{r, w.extent[1]}), InitMethod::kaiming_uniform);
  b_ = make("B", Shape{weight.global_shape[0], r},
            Box(Shape{w.offset[0], 0}, Shape{w.extent[0], r}), InitMethod::zeros);
}

Dropout Adapter::dropout(const Exec& ex, const MicroBatch& mb) const {
  return {.probability = mb.training ? dropout_ : 0,
          .key = {ex.seed, stream_},
          .first_row = mb.first_row(),
          .first_column = static_cast<std::uint32_t>(a_.box.offset[1])};
}

void Adapter::add_output(const Exec& ex, const ConstView& x, const MicroBatch& mb,
                         const View& y) const {
  Tensor inner;
  with_dropped(ex, x, dropout(ex, mb), [&](const ConstView& dropped) {
    inner = ops::gemm(ex, {.a = dropped, .b = a_.value, .op_b = Op::t});
  });
  ops::gemm_into(
      ex, {.a = inner, .b = b_.value, .op_b = Op::t, .c = y, .alpha = scale_, .beta = 1});
}

Tensor Adapter::inner_gradient(const Exec& ex, const ConstView& dy) const {
  return ops::gemm(ex, {.a = dy, .b = b_.value, .alpha = scale_});
}

void Adapter::accumulate_gradients(const Exec& ex, const ConstView& dy, const ConstView& x,
                                   const MicroBatch& mb) {
  with_dropped(ex, x, dropout(ex, mb), [&](const ConstView& dropped) {
    if (b_.trains) {
      const Tensor inner = ops::gemm(ex, {.a = dropped, .b = a_.value, .op_b = Op::t});
      ops::gemm_into(
          ex, {.a = dy, .op_a = Op::t, .b = inner, .c = b_.grad, .alpha = scale_, .beta = 1});
    }
    if (!a_.trains) return;
    ops::accumulate_weight_gradient(
        ex, {.dy = inner_gradient(ex, dy), .x = dropped, .dweight = a_.grad});
  });
}

void Adapter::add_input_gradient(const Exec& ex, const ConstView& dy, const MicroBatch& mb,
                                 const View& dx) const {
  const Tensor inner = inner_gradient(ex, dy);
  const Dropout spec = dropout(ex, mb);
  if (spec.probability == 0) {
    return ops::gemm_into(ex, {.a = inner, .b = a_.value, .c = dx, .beta = 1});
  }
  const Tensor through = ops::gemm(ex, {.a = inner, .b = a_.value});
  ops::apply_dropout(ex, {.x = through, .dropout = spec, .add = dx, .y = dx});
}

void Adapter::visit(const ParameterVisitor& f) {
  f(a_);
  f(b_);
}

}  // namespace trireme
