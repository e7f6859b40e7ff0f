// SPDX-License-Identifier: Apache-2.0
// Norms of queries and keys on the GPU against the CPU's.
#include "trireme/ops/qk_norm.hpp"

#include <boost/test/unit_test.hpp>

#include "../../support/turns.hpp"
#include "gpu.hpp"

namespace trireme::test {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16};
constexpr std::int64_t kDims[] = {5, 64, 80};
struct Kind {
  Norm norm;
  bool rows;
};
constexpr Kind kKinds[] = {
    {Norm::rmsnorm, false}, {Norm::layernorm, false}, {Norm::rmsnorm, true}};

/// Arrays of one call, all on one backend.
struct Arrays {
  Tensor qkv, dqkv, y, sums, slopes;
  Tensor weight[2], bias[2], dweight[2], dbias[2];

  [[nodiscard]] Arrays on_gpu() const {
    const auto move = [](const Tensor& t) { return trireme::test::on_gpu(t); };
    Arrays a{move(qkv), move(dqkv), move(y), move(sums), move(slopes), {}, {}, {}, {}};
    for (int i = 0; i < 2; ++i) {
      a.weight[i] = move(weight[i]);
      a.bias[i] = move(bias[i]);
      a.dweight[i] = move(dweight[i]);
      a.dbias[i] = move(dbias[i]);
    }
    return a;
  }
};

Arrays make(DType type, DType gradients, const ops::QkNormRule& rule) {
  const AttentionShape& s = rule.shape;
  const std::int64_t rows = s.batch * s.seq;
  const Shape wide{rows, s.row_width()};
  const Shape sums{rows, 2 * rule.layout().norms()};
  Arrays a{random(type, wide, "qkv", 2),
           random(type, wide, "dy"),
           poisoned(type, wide),
           poisoned(DType::f32, sums),
           poisoned(DType::f32, sums),
           {},
           {},
           {},
           {}};
  for (int i = 0; i < 2; ++i) {
    const std::int64_t heads = i == 0 ? s.heads() : s.kv_heads;
    const Shape n{(rule.rows ? heads : 1) * s.head_dim};
    const auto name = std::to_string(i);
    a.weight[i] = random(type, n, "weight" + name);
    a.bias[i] = random(type, n, "bias" + name);
    a.dweight[i] = random(gradients, n, "dweight" + name);
    a.dbias[i] = random(gradients, n, "dbias" + name);
  }
  return a;
}

void run(const Exec& ex, const Arrays& a, const ops::QkNormRule& rule) {
  ops::qk_norm_sums(ex, {.norm = rule, .qkv = a.qkv, .sums = a.sums});
  ops::qk_norm_forward(ex, {.norm = rule,
                            .qkv = a.qkv,
                            .sums = a.sums,
                            .q_weight = a.weight[0],
                            .k_weight = a.weight[1],
                            .q_bias = a.bias[0],
                            .k_bias = a.bias[1],
                            .y = a.y});
  ops::qk_norm_sums(ex, {.norm = rule,
                         .qkv = a.qkv,
                         .dy = a.dqkv,
                         .q_weight = a.weight[0],
                         .k_weight = a.weight[1],
                         .sums = a.slopes});
  ops::qk_norm_backward(ex, {.norm = rule,
                             .qkv = a.qkv,
                             .sums = a.sums,
                             .slopes = a.slopes,
                             .q_weight = a.weight[0],
                             .k_weight = a.weight[1],
                             .dqkv = a.dqkv,
                             .dq_weight = a.dweight[0],
                             .dk_weight = a.dweight[1],
                             .dq_bias = a.dbias[0],
                             .dk_bias = a.dbias[1]});
}

void compare(DType type, DType gradients, const ops::QkNormRule& rule) {
  const Arrays expected = make(type, gradients, rule);
  const Arrays mine = expected.on_gpu();
  const Arrays again = expected.on_gpu();
  run(cpu(), expected, rule);
  run(gpu(), mine, rule);
  run(gpu(), again, rule);
  const auto check = [&](const Tensor& got, const Tensor& twice, const Tensor& reference) {
    const DType t = reference.dtype();
    const double bound = t == DType::f32 ? 2e-5 : t == DType::f16 ? 2e-3 : 1e-2;
    BOOST_TEST(relative_error(host(on_cpu(got)), host(reference)) < bound);
    BOOST_TEST(same_bits(on_cpu(got), on_cpu(twice)));
  };
  check(mine.y, again.y, expected.y);
  check(mine.dqkv, again.dqkv, expected.dqkv);
  for (int i = 0; i < 2; ++i) {
    check(mine.dweight[i], again.dweight[i], expected.dweight[i]);
    check(mine.dbias[i], again.dbias[i], expected.dbias[i]);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(qk_norm)

BOOST_AUTO_TEST_CASE(equal_the_cpus) {
  for_pairs(
      [](DType type, std::int64_t dim, const Kind& kind, bool one_plus) {
        const ops::QkNormRule rule{.shape = {.batch = 2,
                                             .seq = 9,
                                             .kv_heads = 2,
                                             .queries_per_kv = dim == 64 ? 1 : 3,
                                             .head_dim = dim},
                                   .kind = kind.norm,
                                   .epsilon = 1e-5,
                                   .weight_offset = one_plus ? 1.0 : 0.0,
                                   .rows = kind.rows};
        BOOST_TEST_CONTEXT(name_of(type) << " heads of " << dim << " rows " << kind.rows) {
          compare(type, one_plus ? type : DType::f32, rule);
        }
      },
      kTypes, kDims, kKinds, kEither);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace trireme::test
