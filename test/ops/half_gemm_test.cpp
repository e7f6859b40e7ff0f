// SPDX-License-Identifier: Apache-2.0
// Matrix products of half types beside those in fp64.
#include <boost/test/unit_test.hpp>

#include "trireme/ops/gemm.hpp"

#include "half.hpp"

namespace trireme::test {
namespace {

constexpr std::array kOps = {Op::n, Op::t};

struct Size {
  std::int64_t m, n, k;
};
// The last one is cut in depth.
constexpr std::array<Size, 7> kSizes = {{{1, 1, 1},
                                         {3, 5, 7},
                                         {1, 64, 3},
                                         {33, 1, 65},
                                         {130, 129, 70},
                                         {530, 300, 513},
                                         {7, 300, 7001}}};

struct Product {
  DType type;
  DType result;
  Size size;
  Op op_a = Op::n;
  Op op_b = Op::n;
  double beta = 0;
  bool biased = false;

  [[nodiscard]] View operand(bool first) const {
    const Op op = first ? op_a : op_b;
    const std::int64_t rows = first ? size.m : size.k;
    const std::int64_t cols = first ? size.k : size.n;
    return op == Op::n ? Windows::random(type, rows, cols, first ? "a" : "b")
                       : Windows::random(type, cols, rows, first ? "a" : "b");
  }

  void check() const {
    const View a = operand(true);
    const View b = operand(false);
    const View c = beta == 0 ? Windows::poisoned(result, size.m, size.n)
                             : Windows::random(result, size.m, size.n, "c", 3);
    const Tensor bias = biased ? random(type, Shape{size.n}, "bias") : Tensor();
    const auto add = [](const Tensor& t) { return t.defined() ? ConstView(t) : ConstView(); };
    const Tensor expected = as_f64(c);
    const double alpha = biased ? 0.75 : 1;
    ops::gemm_into(cpu(), {.a = as_f64(a),
                           .op_a = op_a,
                           .b = as_f64(b),
                           .op_b = op_b,
                           .c = expected,
                           .alpha = alpha,
                           .beta = beta,
                           .bias = add(biased ? as_f64(bias) : Tensor())});
    ops::gemm_into(cpu(), {.a = a,
                           .op_a = op_a,
                           .b = b,
                           .op_b = op_b,
                           .c = c,
                           .alpha = alpha,
                           .beta = beta,
                           .bias = add(bias)});
    BOOST_TEST_CONTEXT(name_of(type) << " into " << name_of(result) << " " << size.m << " "
                                     << size.n << " " << size.k << " " << int(op_a) << int(op_b)
                                     << " beta " << beta << " bias " << biased) {
      BOOST_TEST(relative_error(c, host(expected)) < rounding(result));
      BOOST_TEST(Windows::untouched());
    }
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(half_gemm)

BOOST_AUTO_TEST_CASE(equals_fp64_rounded_once) {
  for (const DType type : kHalves) {
    for (const DType result : {type, DType::f32}) {
      for (const Size& s : kSizes) {
        for (const Op op_a : kOps) {
          for (const Op op_b : kOps) {
            Product{type, result, s, op_a, op_b, 0, false}.check();
            Product{type, result, s, op_a, op_b, 1, false}.check();
            Product{type, result, s, op_a, op_b, -0.5, true}.check();
          }
          Product{type, result, s, op_a, Op::t, 0, true}.check();
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(in_several_blocks_each_way) {
  for (const DType result : {DType::bf16, DType::f32}) {
    for (const Size& s :
         {Size{1030, 1027, 9}, Size{1030, 1027, 1100}, Size{5, 8200, 9}, Size{8200, 5, 9}}) {
      Product{DType::bf16, result, s, Op::n, Op::t, 0, true}.check();
      Product{DType::bf16, result, s, Op::t, Op::n, 1, false}.check();
    }
  }
}

BOOST_AUTO_TEST_CASE(a_sum_over_nothing) {
  for (const DType type : kHalves) {
    for (const DType result : {type, DType::f32}) {
      Product{type, result, {3, 4, 0}, Op::n, Op::n, 0, true}.check();
      const Tensor a = cpu().make(type, Shape{3, 0});
      const Tensor b = cpu().make(type, Shape{0, 4});
      const Tensor c = poisoned(result, Shape{3, 4});
      ops::gemm_into(cpu(), {.a = a, .b = b, .c = c});
      BOOST_TEST((host(c).array() == 0).all());
      BOOST_TEST(
          ops::gemm(cpu(), {.a = b, .b = Tensor(cpu().device, type, Shape{4, 5})}).count() ==
          0);
    }
  }
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  const Tensor a = random(DType::bf16, Shape{700, 600}, "a");
  const Tensor b = random(DType::bf16, Shape{600, 530}, "b");
  for (const DType result : {DType::bf16, DType::f32}) {
    BOOST_TEST(same_on_any_threads([&] {
      Tensor c = poisoned(result, Shape{700, 530});
      ops::gemm_into(cpu(), {.a = a, .b = b, .c = c});
      return c;
    }));
  }
}

BOOST_AUTO_TEST_CASE(column_sums) {
  for (const DType type : kHalves) {
    for (const DType result : {type, DType::f32}) {
      for (const Size& s : kSizes) {
        const View x = Windows::random(type, s.m, s.n, "x");
        const Tensor sum = random(result, Shape{s.n}, "sum", 3);
        const Tensor expected = as_f64(sum);
        ops::accumulate_rows(cpu(), as_f64(x), expected);
        ops::accumulate_rows(cpu(), x, sum);
        BOOST_TEST(relative_error(sum, host(expected)) < rounding(result));
      }
    }
  }
  const Tensor x = random(DType::bf16, Shape{301, 333}, "x");
  BOOST_TEST(same_on_any_threads([&] {
    Tensor sum = filled(DType::bf16, Shape{333}, 0);
    ops::accumulate_rows(cpu(), x, sum);
    return sum;
  }));
}

BOOST_AUTO_TEST_CASE(refuses_other_types) {
  const auto make = [](DType t, Shape s) { return random(t, s, "x"); };
  const Tensor a = make(DType::bf16, {2, 3});
  const Tensor b = make(DType::bf16, {3, 4});
  const auto fails = [&](const ConstView& x, const ConstView& y, DType c, DType bias) {
    BOOST_CHECK_THROW(
        ops::gemm_into(cpu(), {.a = x, .b = y, .c = make(c, {2, 4}), .bias = make(bias, {4})}),
        Error);
  };
  fails(a, make(DType::f16, {3, 4}), DType::f32, DType::bf16);
  fails(a, make(DType::f32, {3, 4}), DType::f32, DType::bf16);
  fails(make(DType::f32, {2, 3}), b, DType::f32, DType::f32);
  fails(a, b, DType::f16, DType::bf16);
  fails(a, b, DType::f64, DType::bf16);
  fails(a, b, DType::bf16, DType::f32);
  fails(make(DType::f32, {2, 3}), make(DType::f32, {3, 4}), DType::bf16, DType::f32);
  BOOST_CHECK_THROW(ops::accumulate_rows(cpu(), a, make(DType::f16, {3})), Error);
  BOOST_CHECK_THROW(ops::accumulate_rows(cpu(), a, make(DType::f64, {3})), Error);
  BOOST_CHECK_THROW(
      ops::accumulate_rows(cpu(), make(DType::f32, {2, 3}), make(DType::bf16, {3})), Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
