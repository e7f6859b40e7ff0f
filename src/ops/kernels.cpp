// SPDX-License-Identifier: Apache-2.0
// Runs operations that a backend may fuse as a sequence of simple ones.
#include "trireme/ops/kernels.hpp"

#include "trireme/ops/activation.hpp"
#include "trireme/ops/cross_entropy.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/gemm.hpp"
#include "trireme/ops/norm.hpp"
#include "trireme/ops/update.hpp"

namespace trireme {

void Kernels::run(Stream& s, const ops::GemmActivation& op) {
  run(s, ops::Gemm{.a = op.x, .b = op.weight, .op_b = Op::t, .c = op.before, .bias = op.bias});
  run(s, ops::ActivationForward{.kind = op.kind, .x = op.before, .y = op.y});
}

void Kernels::run(Stream& s, const ops::GemmActivationBackward& op) {
  run(s, ops::Gemm{.a = op.dy, .b = op.weight, .c = op.dx});
  run(s, ops::ActivationBackward{.kind = op.kind, .x = op.before, .dy = op.dx, .dx = op.dx});
}

void Kernels::run(Stream& s, const ops::AccumulateWeightGradient& op) {
  if (!op.dbias.empty()) run(s, ops::AccumulateRows{.x = op.dy, .sum = op.dbias});
  run(s, ops::Gemm{.a = op.dy, .op_a = Op::t, .b = op.x, .c = op.dweight, .beta = 1});
}

void Kernels::run(Stream& s, const ops::ResidualNormForward& op) {
  const Residual& residual = op.residual;
  if (residual.dropout.probability > 0) {
    run(s, ops::ApplyDropout{
               .x = residual.add, .dropout = residual.dropout, .add = op.x, .y = op.sum});
  } else {
    run(s, ops::Add{.a = op.x, .b = residual.add, .y = op.sum});
  }
  run(s, ops::NormForward{.kind = op.kind,
                          .epsilon = op.epsilon,
                          .x = op.sum,
                          .weight = op.weight,
                          .bias = op.bias,
                          .weight_offset = op.weight_offset,
                          .y = op.y,
                          .statistics = op.statistics});
}

void Kernels::run(Stream& s, const ops::SoftmaxLossGradient& op) {
  run(s, ops::SoftmaxLocal{.logits = op.logits,
                           .targets = op.targets,
                           .first_column = 0,
                           .max = op.max,
                           .sum = op.sum,
                           .picked = op.picked});
  run(s, ops::SoftmaxRescale{.global_max = op.max,
                             .targets = op.targets,
                             .first_column = 0,
                             .columns = op.logits.cols(),
                             .max = op.max,
                             .sum = op.sum,
                             .picked = op.picked});
  run(s, ops::SoftmaxLoss{.sum = op.sum,
                          .picked = op.picked,
                          .targets = op.targets,
                          .total = op.total,
                          .counted = op.counted});
  run(s, ops::SoftmaxGradient{.exponentials = op.logits,
                              .targets = op.targets,
                              .first_column = 0,
                              .factor = op.max,
                              .sum = op.sum,
                              .scale = op.scale,
                              .scale_too = op.scale_too});
}

void Kernels::run(Stream& /*s*/, const ops::Adam8bit& /*op*/) {
  throw Error(
      "AdamW with moments of 8 bits (use_bnb_optimizer) is not available on this device");
}

}  // namespace trireme
