// SPDX-License-Identifier: Apache-2.0
// Linear layers.
#include "linear.hpp"

#include "trireme/ops/activation.hpp"
#include "trireme/ops/gemm.hpp"

namespace trireme {

Linear::Linear(const std::string& name, Sharding sharding, Extents global, bool bias,
               InitMethod init, const TensorParallel& tp, const LoraConfig& lora) {
  const bool column = sharding == Sharding::column;
  const auto [offset, extent] =
      shard_rows(column ? global.out : global.in, tp.rank(), tp.size());
  weight_.name = name + ".weight";
  weight_.global_shape = Shape{global.out, global.in};
  weight_.box = column ? Box(Shape{offset, 0}, Shape{extent, global.in})
                       : Box(Shape{0, offset}, Shape{global.out, extent});
  weight_.init = init;
  weight_.sharded_over = {Axis::tp};
  if (has_adapter(lora, name)) adapter_.emplace(name, lora, weight_, tp);
  if (!bias) return;
  bias_.emplace();
  bias_->name = name + ".bias";
  bias_->global_shape = Shape{global.out};
  bias_->box = column ? Box(Shape{offset}, Shape{extent}) : Box::whole(Shape{global.out});
  bias_->init = InitMethod::zeros;
  bias_->decay = false;
  if (column) bias_->sharded_over = {Axis::tp};
  adds_bias_ = column || tp.rank() == 0;
}

Tensor Linear::forward(const Exec& ex, const ConstView& x, const MicroBatch& mb) const {
  Tensor y = ex.make(x.dtype(), Shape{x.rows(), local_out()});
  forward_into(ex, x, mb, y);
  return y;
}

void Linear::forward_into(const Exec& ex, const ConstView& x, const MicroBatch& mb,
                          const View& y) const {
  ops::gemm_into(ex, {.a = x, .b = weight_.value, .op_b = Op::t, .c = y, .bias = added_bias()});
  if (adapter_) adapter_->add_output(ex, x, mb, y);
}

void Linear::forward_activated(const Exec& ex, const ConstView& x, const MicroBatch& mb,
                               Activation kind, const View& before, const View& y) const {
  if (adapter_) {
    forward_into(ex, x, mb, before);
    return ops::activation_forward(ex, {.kind = kind, .x = before, .y = y});
  }
  ops::gemm_activation(ex, {.kind = kind,
                            .x = x,
                            .weight = weight_.value,
                            .bias = added_bias(),
                            .before = before,
                            .y = y});
}

void Linear::accumulate_gradients(const Exec& ex, const ConstView& dy, const ConstView& x,
                                  const MicroBatch& mb) {
  const View dbias = bias_ && bias_->trains ? bias_->grad : View();
  if (weight_.trains) {
    ops::accumulate_weight_gradient(
        ex, {.dy = dy, .x = x, .dweight = weight_.grad, .dbias = dbias});
  } else {
    ops::accumulate_rows(ex, dy, dbias);
  }
  if (adapter_) adapter_->accumulate_gradients(ex, dy, x, mb);
}

Tensor Linear::input_gradient(const Exec& ex, const ConstView& dy, const MicroBatch& mb) const {
  Tensor dx = ops::gemm(ex, {.a = dy, .b = weight_.value});
  if (adapter_) adapter_->add_input_gradient(ex, dy, mb, dx);
  return dx;
}

Tensor Linear::backward_activated(const Exec& ex, const ConstView& dy, const MicroBatch& mb,
                                  Activation kind, const ConstView& before) const {
  Tensor dx = ex.make(before.dtype(), before.shape());
  if (adapter_) {
    ops::activation_backward(
        ex, {.kind = kind, .x = before, .dy = input_gradient(ex, dy, mb), .dx = dx});
    return dx;
  }
  ops::gemm_activation_backward(
      ex, {.kind = kind, .dy = dy, .weight = weight_.value, .before = before, .dx = dx});
  return dx;
}

Tensor Linear::backward(const Exec& ex, const ConstView& dy, const ConstView& x,
                        const MicroBatch& mb, const Tensor& accumulate) {
  accumulate_gradients(ex, dy, x, mb);
  if (!accumulate.defined()) return input_gradient(ex, dy, mb);
  ops::gemm_into(ex, {.a = dy, .b = weight_.value, .c = accumulate, .beta = 1});
  if (adapter_) adapter_->add_input_gradient(ex, dy, mb, accumulate);
  return accumulate;
}

void Linear::visit(const ParameterVisitor& f) {
  f(weight_);
  if (bias_) f(*bias_);
  if (adapter_) adapter_->visit(f);
}

}  // namespace trireme
