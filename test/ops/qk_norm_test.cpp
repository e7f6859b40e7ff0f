// SPDX-License-Identifier: Apache-2.0
// Norms of queries and keys against their formulas, and their gradients. A row's norm may be
// shared by several ranks.
#include "trireme/ops/qk_norm.hpp"

#include <boost/test/unit_test.hpp>

#include "numerics.hpp"

namespace trireme::test {
namespace {

constexpr std::int64_t kDim = 6;

ops::QkNormRule rule_of(Norm kind, bool rows, bool one_plus = false) {
  return {.shape = {.batch = 2, .seq = 3, .kv_heads = 2, .queries_per_kv = 3, .head_dim = kDim},
          .kind = kind,
          .epsilon = 1e-3,
          .weight_offset = one_plus ? 1.0 : 0.0,
          .rows = rows};
}

struct Case {
  Case(DType t, const ops::QkNormRule& of)
      : norm(of),
        qkv(random(t, Shape{6, of.shape.row_width()}, "qkv", 2)),
        dy(random(t, qkv.shape(), "dy")),
        y(poisoned(t, qkv.shape())),
        dx(poisoned(t, qkv.shape())),
        sums(poisoned(accumulator_type(t), Shape{6, 2 * of.layout().norms()})),
        slopes(poisoned(accumulator_type(t), sums.shape())) {
    for (const std::int64_t heads : {of.shape.heads(), of.shape.kv_heads}) {
      const Shape n{(of.rows ? heads : 1) * kDim};
      const auto name = fmt::format("of {}", heads);
      weight.push_back(random(t, n, "weight " + name));
      bias.push_back(random(t, n, "bias " + name));
      dweight.push_back(random(t, n, "dweight " + name));
      dbias.push_back(random(t, n, "dbias " + name));
    }
  }

  void forward() const {
    ops::qk_norm_sums(cpu(), {.norm = norm, .qkv = qkv, .sums = sums});
    ops::qk_norm_forward(cpu(), {.norm = norm,
                                 .qkv = qkv,
                                 .sums = sums,
                                 .q_weight = weight[0],
                                 .k_weight = weight[1],
                                 .q_bias = bias[0],
                                 .k_bias = bias[1],
                                 .y = y});
  }
  void backward() const {
    assign(dx, host(dy));
    ops::qk_norm_sums(cpu(), {.norm = norm,
                              .qkv = qkv,
                              .dy = dx,
                              .q_weight = weight[0],
                              .k_weight = weight[1],
                              .sums = slopes});
    ops::qk_norm_backward(cpu(), {.norm = norm,
                                  .qkv = qkv,
                                  .sums = sums,
                                  .slopes = slopes,
                                  .q_weight = weight[0],
                                  .k_weight = weight[1],
                                  .dqkv = dx,
                                  .dq_weight = dweight[0],
                                  .dk_weight = dweight[1],
                                  .dq_bias = dbias[0],
                                  .dk_bias = dbias[1]});
  }

  ops::QkNormRule norm;
  Tensor qkv, dy, y, dx, sums, slopes;
  std::vector<Tensor> weight, bias, dweight, dbias;  ///< of queries, of keys
};

/// The columns of queries (0), keys (1) or values (2) of one row, in the order of heads.
std::vector<std::int64_t> columns_of(const AttentionShape& a, int which) {
  std::vector<std::int64_t> list;
  for (std::int64_t g = 0; g < a.kv_heads; ++g) {
    const std::int64_t first = which == 0 ? 0 : a.queries_per_kv + which - 1;
    const std::int64_t n = which == 0 ? a.queries_per_kv : 1;
    for (std::int64_t c = first * kDim; c < (first + n) * kDim; ++c) {
      list.push_back(g * a.group_width() + c);
    }
  }
  return list;
}

Host expected(const Case& c) {
  const Host x = host(c.qkv);
  Host y = x;
  for (int which = 0; which < 2; ++which) {
    const auto columns = columns_of(c.norm.shape, which);
    const Host w = host(c.weight[static_cast<std::size_t>(which)]);
    const Host b = host(c.bias[static_cast<std::size_t>(which)]);
    const std::size_t n = c.norm.rows ? columns.size() : kDim;
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      for (std::size_t first = 0; first < columns.size(); first += n) {
        double mean = 0;
        double square = 0;
        for (std::size_t i = first; i < first + n; ++i) mean += x(r, columns[i]);
        mean = c.norm.kind == Norm::layernorm ? mean / static_cast<double>(n) : 0;
        for (std::size_t i = first; i < first + n; ++i) {
          square += std::pow(x(r, columns[i]) - mean, 2);
        }
        const double rstd = 1 / std::sqrt(square / static_cast<double>(n) + c.norm.epsilon);
        for (std::size_t i = first; i < first + n; ++i) {
          const auto at = static_cast<std::int64_t>(i - (c.norm.rows ? 0 : first));
          y(r, columns[i]) =
              (x(r, columns[i]) - mean) * rstd * (w(0, at) + c.norm.weight_offset) + b(0, at);
        }
      }
    }
  }
  return y;
}

const ops::QkNormRule kRules[] = {
    rule_of(Norm::rmsnorm, false), rule_of(Norm::layernorm, false),
    rule_of(Norm::rmsnorm, false, true), rule_of(Norm::rmsnorm, true),
    rule_of(Norm::rmsnorm, true, true)};

}  // namespace

BOOST_AUTO_TEST_SUITE(qk_norm)

BOOST_AUTO_TEST_CASE(equals_its_formula) {
  for (const ops::QkNormRule& rule : kRules) {
    for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
      const Case c(type, rule);
      c.forward();
      const double bound = type == DType::f64 ? 1e-13 : type == DType::f32 ? 1e-6 : 1e-2;
      BOOST_TEST(relative_error(c.y, expected(c)) < bound);
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients) {
  for (const ops::QkNormRule& rule : kRules) {
    Case c(DType::f64, rule);
    for (auto* list : {&c.dweight, &c.dbias}) {
      for (const Tensor& t : *list) assign(t, Host::Zero(1, t.count()));
    }
    c.forward();
    c.backward();
    const auto loss = [&] {
      c.forward();
      return inner(c.y, c.dy);
    };
    BOOST_TEST(gradient_error(c.qkv, c.dx, loss, 40) < 1e-7);
    for (std::size_t i = 0; i < 2; ++i) {
      BOOST_TEST(gradient_error(c.weight[i], c.dweight[i], loss, 20) < 1e-7);
      BOOST_TEST(gradient_error(c.bias[i], c.dbias[i], loss, 20) < 1e-7);
    }
  }
}

/// Two ranks that each have half of the heads, and add up their sums.
BOOST_AUTO_TEST_CASE(rows_may_be_shared_by_ranks) {
  const Case whole(DType::f64, rule_of(Norm::rmsnorm, true));
  whole.forward();
  ops::QkNormRule half = whole.norm;
  half.shape.kv_heads = 1;
  half.ranks = 2;
  const std::int64_t width = half.shape.row_width();
  const Tensor one = poisoned(DType::f64, Shape{6, 4});
  const Tensor two = poisoned(DType::f64, Shape{6, 4});
  ops::qk_norm_sums(cpu(),
                    {.norm = half, .qkv = whole.qkv.view().slice_cols(0, width), .sums = one});
  ops::qk_norm_sums(
      cpu(), {.norm = half, .qkv = whole.qkv.view().slice_cols(width, width), .sums = two});
  BOOST_TEST(relative_error(Host(host(one) + host(two)), host(whole.sums)) < 1e-14);
  assign(two, host(whole.sums));
  const Tensor y = poisoned(DType::f64, Shape{6, width});
  const View q = whole.weight[0].view().reshape(Shape{2, 3 * kDim}).slice_rows(1, 1);
  const View k = whole.weight[1].view().reshape(Shape{2, kDim}).slice_rows(1, 1);
  const View qb = whole.bias[0].view().reshape(Shape{2, 3 * kDim}).slice_rows(1, 1);
  const View kb = whole.bias[1].view().reshape(Shape{2, kDim}).slice_rows(1, 1);
  ops::qk_norm_forward(cpu(), {.norm = half,
                               .qkv = whole.qkv.view().slice_cols(width, width),
                               .sums = two,
                               .q_weight = q,
                               .k_weight = k,
                               .q_bias = qb,
                               .k_bias = kb,
                               .y = y});
  BOOST_TEST(relative_error(host(y), Host(host(whole.y).rightCols(width))) < 1e-14);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace trireme::test
