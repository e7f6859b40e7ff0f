// SPDX-License-Identifier: Apache-2.0
// The MLP branch, plain or gated.
#include "trireme/ops/activation.hpp"

#include "branch.hpp"

namespace trireme {

Mlp::Mlp(const std::string& name, const ModelConfig& config, const TensorParallel& tp)
    : activation_(config.activation),
      down_(name + (gated(config.activation) ? ".down_proj" : ".dense_4h_to_h"),
            Linear::Sharding::row, {config.mlp_inner(), config.hidden_size},
            config.use_bias_in_mlp, config.output_layer_init_method, tp, config.lora) {
  const std::vector<const char*> names = gated(config.activation)
                                             ? std::vector{".gate_proj", ".up_proj"}
                                             : std::vector{".dense_h_to_4h"};
  for (const char* part : names) {
    up_.emplace_back(name + part, Linear::Sharding::column,
                     Linear::Extents{config.hidden_size, config.mlp_inner()},
                     config.use_bias_in_mlp, config.init_method, tp, config.lora);
  }
}

Tensor Mlp::ascend(const Exec& ex, const Tensor& x, const MicroBatch& mb) const {
  const std::int64_t inner = up_.front().local_out();
  const auto parts = static_cast<std::int64_t>(up_.size());
  Tensor h = ex.make(x.dtype(), Shape{x.rows(), parts * inner});
  for (std::int64_t i = 0; i < parts; ++i) {
    up_[static_cast<std::size_t>(i)].forward_into(ex, x, mb,
                                                  h.view().slice_cols(i * inner, inner));
  }
  return h;
}

Tensor Mlp::forward(const Exec& ex, const Tensor& x, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  const Tensor a = ex.make(x.dtype(), Shape{x.rows(), up_.front().local_out()});
  Tensor h;
  if (gated(activation_)) {
    h = ascend(ex, x, mb);
    ops::activation_forward(ex, {.kind = activation_, .x = h, .y = a});
  } else {
    h = ex.make(x.dtype(), a.shape());
    up_.front().forward_activated(ex, x, mb, activation_, h, a);
  }
  tape.put(h);
  return down_.forward(ex, a, mb);
}

void Mlp::record(const Exec& ex, const Tensor& x, Tape& tape) {
  tape.put(ascend(ex, x, tape.micro_batch()));
}

Tensor Mlp::backward(const Exec& ex, const Tensor& dy, const Tensor& x, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  const Tensor h = tape.take();
  const std::int64_t inner = up_.front().local_out();
  Tensor dh;
  {
    // The activation is recomputed: this saves a third of a layer's memory for a hundredth of
    // the layer's time.
    Tensor a;
    if (down_.needs_input()) {
      a = ex.make(x.dtype(), Shape{x.rows(), inner});
      ops::activation_forward(ex, {.kind = activation_, .x = h, .y = a});
    }
    down_.accumulate_gradients(ex, dy, a.defined() ? ConstView(a) : ConstView(), mb);
    if (gated(activation_)) {
      a = {};
      const Tensor da = down_.input_gradient(ex, dy, mb);
      ops::activation_backward(ex, {.kind = activation_, .x = h, .dy = da, .dx = h});
      dh = h;
    }
  }
  if (!gated(activation_)) dh = down_.backward_activated(ex, dy, mb, activation_, h);
  Tensor dx;
  for (std::size_t i = 0; i < up_.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i) * inner;
    dx = up_[i].backward(ex, dh.view().slice_cols(at, inner), x, mb, dx);
  }
  return dx;
}

void Mlp::visit(const ParameterVisitor& f) {
  for (Linear& l : up_) l.visit(f);
  down_.visit(f);
}

}  // namespace trireme
