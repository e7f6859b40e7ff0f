// SPDX-License-Identifier: Apache-2.0
// Linear layers.
#include "linear.hpp"

#include "trireme/ops/gemm.hpp"

namespace trireme {

Linear::Linear(const std::string& name, Cut cut, Extents global, bool bias, InitMethod init,
               const TensorParallel& tp) {
  const bool column = cut == Cut::column;
  const auto [offset, extent] =
      trireme::cut(column ? global.out : global.in, tp.rank(), tp.size());
  weight_.name = name + ".weight";
  weight_.global_shape = Shape{global.out, global.in};
  weight_.box = column ? Box(Shape{offset, 0}, Shape{extent, global.in})
                       : Box(Shape{0, offset}, Shape{global.out, extent});
  weight_.init = init;
  weight_.replicated_tp = false;
  if (!bias) return;
  bias_.emplace();
  bias_->name = name + ".bias";
  bias_->global_shape = Shape{global.out};
  bias_->box = column ? Box(Shape{offset}, Shape{extent}) : Box::whole(Shape{global.out});
  bias_->init = InitMethod::zeros;
  bias_->decay = false;
  bias_->replicated_tp = !column;
  adds_bias_ = column || tp.rank() == 0;
}

Tensor Linear::forward(const Exec& ex, const ConstView& x) const {
  Tensor y = ex.make(x.dtype(), Shape{x.rows(), local_out()});
  forward_into(ex, x, y);
  return y;
}

void Linear::forward_into(const Exec& ex, const ConstView& x, const View& y) const {
  ops::gemm_into(ex, x, Op::n, weight_.value, Op::t, y, 0,
                 adds_bias_ ? ConstView(bias_->value) : ConstView());
}

Tensor Linear::backward(const Exec& ex, const ConstView& dy, const ConstView& x,
                        const Tensor& accumulate) {
  if (bias_) ops::accumulate_rows(ex, dy, bias_->grad);
  ops::gemm_into(ex, dy, Op::t, x, Op::n, weight_.grad, 1);  // dW += dyᵀ x
  if (!accumulate.defined()) return ops::gemm(ex, dy, Op::n, weight_.value, Op::n);
  ops::gemm_into(ex, dy, Op::n, weight_.value, Op::n, accumulate, 1);
  return accumulate;
}

void Linear::visit(const ParameterVisitor& f) {
  f(weight_);
  if (bias_) f(*bias_);
}

}  // namespace trireme
