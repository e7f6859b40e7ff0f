// SPDX-License-Identifier: Apache-2.0
// BERT's transform before the output matrix.
#include "output_transform.hpp"

#include "trireme/ops/activation.hpp"

namespace trireme {

OutputTransform::OutputTransform(const ModelConfig& config, const TensorParallel& tp)
    : activation_(config.activation),
      dense_("output_transform.dense", Linear::Sharding::column,
             {config.hidden_size, config.hidden_size}, true, config.init_method,
             TensorParallel{}),
      norm_("output_transform.norm", config, tp.rows_are_cut()) {
  dense_.visit([&](Parameter& p) {
    p.sharded_over = {};
    if (tp.rows_are_cut()) p.sum_over = {Axis::tp};
  });
}

Tensor OutputTransform::forward(const Exec& ex, const Tensor& x, Tape& tape) {
  const Tensor before = ex.make(x.dtype(), x.shape());
  const Tensor activated = ex.make(x.dtype(), x.shape());
  dense_.forward_activated(ex, x, tape.micro_batch(), activation_, before, activated);
  Tensor statistics;
  Tensor y = norm_.forward(ex, activated, statistics);
  tape.put(x);
  tape.put(before);
  tape.put(statistics);
  return y;
}

Tensor OutputTransform::backward(const Exec& ex, const Tensor& dy, Tape& tape) {
  const Tensor statistics = tape.take();
  const Tensor before = tape.take();
  const Tensor x = tape.take();
  const Tensor activated = ex.make(x.dtype(), x.shape());
  ops::activation_forward(ex, {.kind = activation_, .x = before, .y = activated});
  const Tensor d = norm_.backward(ex, dy, activated, statistics);
  ops::activation_backward(ex, {.kind = activation_, .x = before, .dy = d, .dx = before});
  return dense_.backward(ex, before, x, tape.micro_batch());
}

void OutputTransform::visit(const ParameterVisitor& f) {
  dense_.visit(f);
  norm_.visit(f);
}

}  // namespace trireme
