// SPDX-License-Identifier: Apache-2.0
// Norms with their weights.
#include "normalization.hpp"

#include "trireme/ops/norm.hpp"

#include "scratch_gradients.hpp"

namespace trireme {

Normalization::Normalization(const std::string& name, const ModelConfig& config,
                             bool gradient_is_partial)
    : kind_(config.norm),
      epsilon_(config.norm_epsilon),
      weight_offset_(config.layernorm_1p ? 1 : 0) {
  const auto make = [&](const char* part, InitMethod init) {
    Parameter p;
    p.name = name + part;
    p.global_shape = Shape{config.hidden_size};
    p.box = Box::whole(p.global_shape);
    p.init = init;
    p.decay = false;
    if (gradient_is_partial) p.sum_over = {Axis::tp};
    return p;
  };
  weight_ = make(".weight", config.layernorm_1p ? InitMethod::zeros : InitMethod::ones);
  if (kind_ == Norm::layernorm && config.use_bias_in_norms) {
    bias_ = make(".bias", InitMethod::zeros);
  }
}

Tensor Normalization::forward(const Exec& ex, const ConstView& x, Tensor& statistics) const {
  Tensor y = ex.make(x.dtype(), x.shape());
  if (!statistics.defined()) statistics = make_statistics(ex, x);
  ops::norm_forward(ex, {.kind = kind_,
                         .epsilon = epsilon_,
                         .x = x,
                         .weight = weight_.value,
                         .bias = bias(),
                         .weight_offset = weight_offset_,
                         .y = y,
                         .statistics = statistics});
  return y;
}

Tensor Normalization::forward(const Exec& ex, const ConstView& x, const Residual& residual,
                              const View& sum, Tensor& statistics) const {
  Tensor y = ex.make(x.dtype(), x.shape());
  statistics = make_statistics(ex, x);
  ops::residual_norm_forward(ex, {.kind = kind_,
                                  .epsilon = epsilon_,
                                  .x = x,
                                  .residual = residual,
                                  .weight = weight_.value,
                                  .bias = bias(),
                                  .weight_offset = weight_offset_,
                                  .sum = sum,
                                  .y = y,
                                  .statistics = statistics});
  return y;
}

Tensor Normalization::make_statistics(const Exec& ex, const ConstView& x) {
  return ex.make(accumulator_type(x.dtype()), Shape{x.rows(), 2});
}

Tensor Normalization::backward(const Exec& ex, const ConstView& dy, const ConstView& x,
                               const ConstView& statistics, const ConstView& add) {
  Tensor dx = ex.make(x.dtype(), x.shape());
  ScratchGradients gradients(ex, x.dtype());
  ops::norm_backward(ex, {.kind = kind_,
                          .dy = dy,
                          .x = x,
                          .weight = weight_.value,
                          .weight_offset = weight_offset_,
                          .statistics = statistics,
                          .add = add,
                          .dx = dx,
                          .dweight = gradients.of(weight_),
                          .dbias = bias_ ? gradients.of(*bias_) : View()});
  return dx;
}

void Normalization::visit(const ParameterVisitor& f) {
  f(weight_);
  if (bias_) f(*bias_);
}

Tensor FinalNorm::forward(const Exec& ex, const Tensor& x, Tape& tape) {
  Tensor statistics;
  Tensor y = norm_.forward(ex, x, statistics);
  tape.put(x);
  tape.put(statistics);
  return y;
}

Tensor FinalNorm::backward(const Exec& ex, const Tensor& dy, Tape& tape) {
  const Tensor statistics = tape.take();
  const Tensor x = tape.take();
  return norm_.backward(ex, dy, x, statistics);
}

}  // namespace trireme
