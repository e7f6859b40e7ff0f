// SPDX-License-Identifier: Apache-2.0
// Cases for the layers' kernels: shapes, calls, operations and bytes.
#include "kernel_cases.hpp"

#include <map>

#include "trireme/model/transformer.hpp"
#include "trireme/ops/activation.hpp"
#include "trireme/ops/attention.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/gemm.hpp"
#include "trireme/ops/norm.hpp"

namespace trireme {

namespace {

View or_none(const Tensor& t) { return t.defined() ? t.view() : View(); }

}  // namespace

void KernelCases::linears() {
  const bool plain = !gated(model_.activation);
  std::map<std::string, Shape> shapes;  // key: a parameter's name in its layer
  visit_unit(model_, UnitKind::layer, [&](const Parameter& p) {
    shapes[p.name.substr(std::string("layers.0.").size())] = p.global_shape;
  });
  const auto matrix = [&](const char* shown, const std::string& name) {
    const Shape& weight = shapes.at(name + ".weight");
    return Matrix{shown, weight[1], weight[0], shapes.contains(name + ".bias")};
  };
  std::array<Matrix, 4> matrices = {
      matrix("query_key_value", "attention.query_key_value"),
      matrix("attention dense", "attention.dense"),
      plain ? matrix("dense_h_to_4h", "mlp.dense_h_to_4h")
            : matrix("gate and up", "mlp.up_proj"),
      plain ? matrix("dense_4h_to_h", "mlp.dense_4h_to_h") : matrix("down", "mlp.down_proj")};
  matrices[2].copies = plain ? 1 : 2;
  matrices[2].activates = plain;
  matrices[3].activated = plain;
  for (const Matrix& w : matrices) forward(w);
  for (const Matrix& w : matrices) backward(w);
}

void KernelCases::forward(const Matrix& w) {
  const double operations = 2.0 * static_cast<double>(rows_ * w.in * w.out);
  add("GEMMs", fmt::format("{}{}", w.name, w.activates ? ", activation" : ""),
      layers_ * w.copies, operations,
      bytes(rows_ * w.in + w.in * w.out + (w.activates ? 2 : 1) * rows_ * w.out),
      [this, w]() -> Run {
        const Tensor x = random(rows_, w.in);
        const Tensor weight = random(w.out, w.in);
        const Tensor bias = w.bias ? random(type_, Shape{w.out}) : Tensor();
        const Tensor y = ex_.make(type_, Shape{rows_, w.out});
        const Tensor before = w.activates ? ex_.make(type_, y.shape()) : Tensor();
        return [=, this] {
          if (w.activates) {
            ops::gemm_activation(ex_, {.kind = model_.activation,
                                       .x = x,
                                       .weight = weight,
                                       .bias = or_none(bias),
                                       .before = before,
                                       .y = y});
          } else {
            ops::gemm_into(ex_,
                           {.a = x, .b = weight, .op_b = Op::t, .c = y, .bias = or_none(bias)});
          }
        };
      });
}

void KernelCases::backward(const Matrix& w) {
  const double operations = 2.0 * static_cast<double>(rows_ * w.in * w.out);
  add("GEMMs", fmt::format("{}, input gradient{}", w.name, w.activated ? ", activation" : ""),
      layers_ * w.copies, operations,
      bytes(rows_ * w.out + w.in * w.out + (w.activated ? 2 : 1) * rows_ * w.in),
      [this, w]() -> Run {
        const Tensor dy = random(rows_, w.out);
        const Tensor weight = random(w.out, w.in);
        const Tensor before = w.activated ? random(rows_, w.in) : Tensor();
        const Tensor dx = ex_.make(type_, Shape{rows_, w.in});
        return [=, this] {
          if (w.activated) {
            ops::gemm_activation_backward(ex_, {.kind = model_.activation,
                                                .dy = dy,
                                                .weight = weight,
                                                .before = before,
                                                .dx = dx});
          } else {
            ops::gemm_into(ex_, {.a = dy, .b = weight, .c = dx});
          }
        };
      });
  add("GEMMs", fmt::format("{}, weight gradient", w.name), layers_ * w.copies, operations,
      bytes(rows_ * (w.out + w.in)) + 2 * bytes(w.in * w.out, grad_), [this, w]() -> Run {
        const Tensor dy = random(rows_, w.out);
        const Tensor x = random(rows_, w.in);
        const Tensor dweight = ex_.zeros(grad_, Shape{w.out, w.in});
        const Tensor dbias = w.bias ? ex_.zeros(grad_, Shape{w.out}) : Tensor();
        return [=, this] {
          ops::accumulate_weight_gradient(
              ex_, {.dy = dy, .x = x, .dweight = dweight, .dbias = or_none(dbias)});
        };
      });
}

void KernelCases::attention() {
  const AttentionShape s = heads();
  const std::int64_t out = rows_ * s.heads() * s.head_dim;
  const std::int64_t qkv = rows_ * s.row_width();
  const double lse = bytes(rows_ * s.heads(), sums_);
  const double keys =
      scores().causal ? 0.5 * static_cast<double>(s.seq + 1) : static_cast<double>(s.seq);
  const double seen = keys * static_cast<double>(out);
  const Dropout drops = dropout(model_.attention_dropout);
  const auto arrays = [this, s, drops] {
    std::array<Tensor, 3> a = {random(rows_, s.row_width()),
                               ex_.make(type_, Shape{rows_, s.heads() * s.head_dim}),
                               ex_.make(sums_, Shape{s.batch, s.heads(), s.seq})};
    ops::attention_forward(ex_, {.shape = s,
                                 .scores = scores(),
                                 .dropout = drops,
                                 .qkv = a[0],
                                 .out = a[1],
                                 .lse = a[2]});
    return a;
  };
  add("attention", "attention", layers_, 4 * seen, bytes(qkv + out) + lse,
      [this, s, drops, arrays]() -> Run {
        return [this, s, drops, a = arrays()] {
          ops::attention_forward(ex_, {.shape = s,
                                       .scores = scores(),
                                       .dropout = drops,
                                       .qkv = a[0],
                                       .out = a[1],
                                       .lse = a[2]});
        };
      });
  add("attention", "attention, gradient", layers_, 10 * seen, bytes(2 * qkv + 2 * out) + lse,
      [this, s, drops, arrays]() -> Run {
        const auto a = arrays();
        const Tensor dout = random(rows_, s.heads() * s.head_dim);
        const Tensor dqkv = ex_.make(type_, Shape{rows_, s.row_width()});
        return [=, this] {
          ops::attention_backward(ex_, {.shape = s,
                                        .scores = scores(),
                                        .dropout = drops,
                                        .dout = dout,
                                        .qkv = a[0],
                                        .out = a[1],
                                        .lse = a[2],
                                        .dqkv = dqkv});
        };
      });
}

void KernelCases::rotary() {
  if (model_.pos_emb != PositionEmbedding::rotary) return;
  const AttentionShape s = heads();
  const std::int64_t dim = model_.rotary_dims();
  // Forward and backward.
  add("rotary", "rotary", 2 * layers_, 0, 2 * bytes(rows_ * (s.heads() + s.kv_heads) * dim),
      [this, s, dim]() -> Run {
        const Tensor table = ops::rotary_table(
            ex_,
            {.dtype = type_, .seq = s.seq, .rotary_dim = dim, .base = model_.rotary_emb_base});
        const Tensor qkv = random(rows_, s.row_width());
        return [=, this] { ops::rotary(ex_, {.shape = s, .qkv = qkv, .table = table}); };
      });
}

std::array<Tensor, 5> KernelCases::norm_arrays() const {
  const bool bias = model_.norm == Norm::layernorm && model_.use_bias_in_norms;
  std::array<Tensor, 5> a = {
      random(rows_, h_), ones(type_, h_), bias ? random(type_, Shape{h_}) : Tensor(),
      ex_.make(type_, Shape{rows_, h_}), ex_.make(sums_, Shape{rows_, 2})};
  ops::norm_forward(ex_, {.kind = model_.norm,
                          .epsilon = model_.norm_epsilon,
                          .x = a[0],
                          .weight = a[1],
                          .bias = or_none(a[2]),
                          .y = a[3],
                          .statistics = a[4]});
  return a;
}

void KernelCases::norms() {
  const bool parallel = model_.gpt_j_residual;
  const bool own = parallel && !model_.gpt_j_tied;
  const std::int64_t n = rows_ * h_;
  const double statistics = bytes(2 * rows_, sums_);
  // Every norm runs again in backward, except the last. A sequential layer's second norm is
  // preceded by a sum.
  add("norms", "norm",
      (own        ? 4
       : parallel ? 2
                  : 3) *
              layers_ +
          micro_,
      0, bytes(2 * n) + statistics, [this]() -> Run {
        return [this, a = norm_arrays()] {
          ops::norm_forward(ex_, {.kind = model_.norm,
                                  .epsilon = model_.norm_epsilon,
                                  .x = a[0],
                                  .weight = a[1],
                                  .bias = or_none(a[2]),
                                  .y = a[3],
                                  .statistics = a[4]});
        };
      });
  if (!parallel) {
    add("norms", "sum and norm", layers_, 0, bytes(4 * n) + statistics, [this]() -> Run {
      const auto a = norm_arrays();
      const Tensor addend = random(rows_, h_);
      const Tensor sum = ex_.make(type_, Shape{rows_, h_});
      return [=, this] {
        ops::residual_norm_forward(ex_, {.kind = model_.norm,
                                         .epsilon = model_.norm_epsilon,
                                         .x = a[0],
                                         .residual = {addend, dropout(model_.hidden_dropout)},
                                         .weight = a[1],
                                         .bias = or_none(a[2]),
                                         .sum = sum,
                                         .y = a[3],
                                         .statistics = a[4]});
      };
    });
  }
  add("norms", "norm, gradient and sum", (parallel ? 1 : 2) * layers_, 0,
      bytes(4 * n) + statistics, [this]() -> Run { return norm_backward(true); });
  add("norms", "norm, gradient", (own ? layers_ : 0) + micro_, 0, bytes(3 * n) + statistics,
      [this]() -> Run { return norm_backward(false); });
}

KernelCases::Run KernelCases::norm_backward(bool with_sum) const {
  const auto a = norm_arrays();
  const Tensor dy = random(rows_, h_);
  const Tensor addend = with_sum ? random(rows_, h_) : Tensor();
  const Tensor dx = ex_.make(type_, Shape{rows_, h_});
  const Tensor dweight = ex_.zeros(grad_, Shape{h_});
  const Tensor dbias = a[2].defined() ? ex_.zeros(grad_, Shape{h_}) : Tensor();
  return [=, this] {
    ops::norm_backward(ex_, {.kind = model_.norm,
                             .dy = dy,
                             .x = a[0],
                             .weight = a[1],
                             .statistics = a[4],
                             .add = or_none(addend),
                             .dx = dx,
                             .dweight = dweight,
                             .dbias = or_none(dbias)});
  };
}

void KernelCases::activations() {
  const bool both = gated(model_.activation);
  const std::int64_t inner = model_.mlp_inner();
  const std::int64_t width = (both ? 2 : 1) * inner;
  // For plain activations, GEMMs include the first pass and the gradient.
  add("activation", "activation", (both ? 2 : 1) * layers_, 0, bytes(rows_ * (width + inner)),
      [this, width, inner]() -> Run {
        const Tensor x = random(rows_, width);
        const Tensor y = ex_.make(type_, Shape{rows_, inner});
        return [=, this] {
          ops::activation_forward(ex_, {.kind = model_.activation, .x = x, .y = y});
        };
      });
  add("activation", "activation, gradient", both ? layers_ : 0, 0,
      bytes(rows_ * (2 * width + inner)), [this, width, inner]() -> Run {
        const Tensor x = random(rows_, width);
        const Tensor dy = random(rows_, inner);
        const Tensor dx = ex_.make(type_, Shape{rows_, width});
        return [=, this] {
          ops::activation_backward(ex_,
                                   {.kind = model_.activation, .x = x, .dy = dy, .dx = dx});
        };
      });
}

void KernelCases::sums() {
  const bool parallel = model_.gpt_j_residual;
  const bool drops = model_.hidden_dropout > 0;
  const std::int64_t n = rows_ * h_;
  add("elementwise", "sum",
      (parallel ? 3
       : drops  ? 0
                : 1) *
          layers_,
      0, bytes(3 * n), [this]() -> Run {
        const Tensor a = random(rows_, h_);
        const Tensor b = random(rows_, h_);
        const Tensor y = ex_.make(type_, Shape{rows_, h_});
        return [=, this] { ops::add(ex_, a, b, y); };
      });
  if (!drops) return;
  add("elementwise", "dropout", (parallel ? 4 : 3) * layers_ + 2 * micro_, 0, bytes(2 * n),
      [this]() -> Run {
        const Tensor x = random(rows_, h_);
        const Tensor y = ex_.make(type_, Shape{rows_, h_});
        return [=, this] {
          ops::apply_dropout(ex_, {.x = x, .dropout = dropout(model_.hidden_dropout), .y = y});
        };
      });
}

}  // namespace trireme
