// SPDX-License-Identifier: Apache-2.0
// Matrix products against plain sums, and their gradients.
#include "trireme/ops/gemm.hpp"

#include <array>

#include <boost/test/unit_test.hpp>

#include "numerics.hpp"

namespace trireme::test {
namespace {

constexpr std::array kOps = {Op::n, Op::t};

Shape stored(std::int64_t rows, std::int64_t cols, Op op) {
  return op == Op::n ? Shape{rows, cols} : Shape{cols, rows};
}

Host as_used(const ConstView& v, Op op) {
  const Host h = host(v);
  return op == Op::n ? h : Host(h.transpose());
}

Host product(const Host& a, const Host& b) {
  Host c = Host::Zero(a.rows(), b.cols());
  for (std::int64_t i = 0; i < a.rows(); ++i) {
    for (std::int64_t k = 0; k < a.cols(); ++k) {
      for (std::int64_t j = 0; j < b.cols(); ++j) c(i, j) += a(i, k) * b(k, j);
    }
  }
  return c;
}

struct Size {
  std::int64_t m, n, k;
};
constexpr std::array<Size, 6> kSizes = {
    {{1, 1, 1}, {3, 5, 7}, {1, 64, 3}, {33, 1, 65}, {130, 129, 70}, {7, 300, 257}}};

void compare(DType type, const Size& s, Op op_a, Op op_b, double beta, bool with_bias) {
  const Tensor a = random(type, stored(s.m, s.k, op_a), "a");
  const Tensor b = random(type, stored(s.k, s.n, op_b), "b");
  const Tensor c = beta == 0 ? poisoned(type, Shape{s.m, s.n}) : random(type, {s.m, s.n}, "c");
  const Tensor bias = random(type, Shape{s.n}, "bias");
  const double alpha = with_bias ? 1.75 : 1;
  Host expected = alpha * product(as_used(a, op_a), as_used(b, op_b));
  if (beta != 0) expected += beta * host(c);
  if (with_bias) expected.rowwise() += host(bias).row(0);
  ops::gemm_into(cpu(), {.a = a,
                         .op_a = op_a,
                         .b = b,
                         .op_b = op_b,
                         .c = c,
                         .alpha = alpha,
                         .beta = beta,
                         .bias = with_bias ? ConstView(bias) : ConstView()});
  const double bound = type == DType::f64 ? 1e-13 : 1e-5;
  BOOST_TEST(relative_error(c, expected) < bound);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gemm)

BOOST_AUTO_TEST_CASE(equals_the_plain_sum) {
  for (const DType type : {DType::f32, DType::f64}) {
    for (const Size& s : kSizes) {
      for (const Op op_a : kOps) {
        for (const Op op_b : kOps) {
          for (const double beta : {0.0, 1.0, -0.5}) {
            for (const bool bias : {false, true}) {
              BOOST_TEST_CONTEXT(name_of(type)
                                 << " " << s.m << " " << s.n << " " << s.k << " " << int(op_a)
                                 << int(op_b) << " beta " << beta << " bias " << bias) {
                compare(type, s, op_a, op_b, beta, bias);
              }
            }
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(makes_a_new_tensor) {
  const Tensor a = random(DType::f32, Shape{2, 3, 5}, "a");
  const Tensor w = random(DType::f32, Shape{7, 5}, "w");
  const Tensor bias = random(DType::f32, Shape{7}, "bias");
  const Tensor c = ops::gemm(cpu(), {.a = a, .b = w, .op_b = Op::t, .bias = bias});
  BOOST_TEST(c.rows() == 6);
  BOOST_TEST((c.dtype() == DType::f32));
  Host expected = product(host(a), Host(host(w).transpose()));
  expected.rowwise() += host(bias).row(0);
  BOOST_TEST(relative_error(c, expected) < 1e-6);
}

BOOST_AUTO_TEST_CASE(strided_windows_and_nothing_beside_them) {
  for (const Op op_a : kOps) {
    for (const Op op_b : kOps) {
      const Tensor wide_a = random(DType::f64, stored(19, 13, op_a), "a");
      const Tensor wide_b = random(DType::f64, stored(13, 23, op_b), "b");
      // The same 5 of the 13 summands from both, cut out of rows or of columns.
      const auto cut = [](const ConstView& v, bool rows) {
        return rows ? v.slice_rows(4, 5) : v.slice_cols(4, 5);
      };
      const ConstView a = cut(wide_a, op_a == Op::t);
      const ConstView b = cut(wide_b, op_b == Op::n);
      const Tensor wide_c = filled(DType::f64, Shape{19, 40}, 777);
      const Tensor bias = random(DType::f64, Shape{23}, "bias");
      Host expected = host(wide_c);
      expected.middleCols(6, 23) = product(as_used(a, op_a), as_used(b, op_b));
      expected.middleCols(6, 23).rowwise() += host(bias).row(0);
      ops::gemm_into(cpu(), {.a = a,
                             .op_a = op_a,
                             .b = b,
                             .op_b = op_b,
                             .c = wide_c.view().slice_cols(6, 23),
                             .bias = bias});
      BOOST_TEST((host(wide_c) - expected).cwiseAbs().maxCoeff() < 1e-13);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_sum_over_nothing) {
  const Tensor a = cpu().make(DType::f32, Shape{3, 0});
  const Tensor b = cpu().make(DType::f32, Shape{0, 4});
  const Tensor bias = random(DType::f32, Shape{4}, "bias");
  const Tensor c = poisoned(DType::f32, Shape{3, 4});
  ops::gemm_into(cpu(), {.a = a, .b = b, .c = c, .bias = bias});
  for (int r = 0; r < 3; ++r) BOOST_TEST(same_bits(c.view().slice_rows(r, 1), bias));
  const Tensor none = ops::gemm(cpu(), {.a = b, .b = c, .op_b = Op::t});
  BOOST_TEST(none.count() == 0);
}

BOOST_AUTO_TEST_CASE(gradients) {
  for (const Op op_a : kOps) {
    for (const Op op_b : kOps) {
      const Tensor a = random(DType::f64, stored(5, 7, op_a), "a");
      const Tensor b = random(DType::f64, stored(7, 3, op_b), "b");
      const Tensor bias = random(DType::f64, Shape{3}, "bias");
      const Tensor r = random(DType::f64, Shape{5, 3}, "r");
      const auto loss = [&] {
        return inner(
            ops::gemm(cpu(), {.a = a, .op_a = op_a, .b = b, .op_b = op_b, .bias = bias}), r);
      };
      const Op not_a = op_a == Op::n ? Op::t : Op::n;
      const Op not_b = op_b == Op::n ? Op::t : Op::n;
      const Tensor da = op_a == Op::n
                            ? ops::gemm(cpu(), {.a = r, .b = b, .op_b = not_b})
                            : ops::gemm(cpu(), {.a = b, .op_a = op_b, .b = r, .op_b = Op::t});
      const Tensor db = op_b == Op::n
                            ? ops::gemm(cpu(), {.a = a, .op_a = not_a, .b = r})
                            : ops::gemm(cpu(), {.a = r, .op_a = Op::t, .b = a, .op_b = op_a});
      const Tensor dbias = filled(DType::f64, Shape{3}, 0);
      ops::accumulate_rows(cpu(), r, dbias);
      BOOST_TEST(gradient_error(a, da, loss) < 1e-8);
      BOOST_TEST(gradient_error(b, db, loss) < 1e-8);
      BOOST_TEST(gradient_error(bias, dbias, loss) < 1e-8);
    }
  }
}

BOOST_AUTO_TEST_CASE(threads_change_little) {
  const Tensor a = random(DType::f32, Shape{200, 150}, "a");
  const Tensor b = random(DType::f32, Shape{170, 150}, "b");
  const Host expected = product(host(a), Host(host(b).transpose()));
  for (const int n : {1, 2, 3}) {
    const Threads threads(n);
    BOOST_TEST(relative_error(ops::gemm(cpu(), {.a = a, .b = b, .op_b = Op::t}), expected) <
               1e-6);
  }
}

BOOST_AUTO_TEST_CASE(refuses_what_does_not_fit) {
  const Tensor a = random(DType::f32, Shape{2, 3}, "a");
  const Tensor b = random(DType::f32, Shape{3, 4}, "b");
  const Tensor b64 = random(DType::f64, Shape{3, 4}, "b");
  const Tensor c = random(DType::f32, Shape{2, 4}, "c");
  const Tensor c64 = random(DType::f64, Shape{2, 4}, "c");
  const Tensor bias = random(DType::f32, Shape{3}, "bias");
  const Tensor bias64 = random(DType::f64, Shape{4}, "bias");
  const auto into = [&](const ConstView& y, Op op_y, const View& z, const ConstView& add) {
    ops::gemm_into(cpu(), {.a = a, .b = y, .op_b = op_y, .c = z, .bias = add});
  };
  BOOST_CHECK_THROW(into(b, Op::t, c, {}), Error);
  BOOST_CHECK_THROW(into(b, Op::n, c.view().slice_cols(0, 3), {}), Error);
  BOOST_CHECK_THROW(into(b, Op::n, c.view().slice_rows(0, 1), {}), Error);
  BOOST_CHECK_THROW(into(b, Op::n, c, bias), Error);
  BOOST_CHECK_THROW(into(b, Op::n, c, bias64), Error);
  BOOST_CHECK_THROW(into(b64, Op::n, c, {}), Error);
  BOOST_CHECK_THROW(into(b, Op::n, c64, {}), Error);
  BOOST_CHECK_THROW(
      (void)ops::gemm(cpu(), {.a = Tensor(cpu().device, DType::i32, Shape{2, 3}),
                              .b = Tensor(cpu().device, DType::i32, Shape{3, 4})}),
      Error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(accumulate_rows)

BOOST_AUTO_TEST_CASE(adds_column_sums) {
  for (const DType type : {DType::f32, DType::f64}) {
    for (const Size& s : kSizes) {
      const Tensor wide = random(type, Shape{s.m, s.n + 5}, "x");
      const ConstView x = wide.view().slice_cols(2, s.n);
      const Tensor sum = random(type, Shape{s.n}, "sum", 3);
      const Host expected = host(sum) + Host(host(x).colwise().sum());
      ops::accumulate_rows(cpu(), x, sum);
      BOOST_TEST(relative_error(sum, expected) < (type == DType::f64 ? 1e-14 : 1e-6));
    }
  }
}

BOOST_AUTO_TEST_CASE(many_rows_lose_no_accuracy) {
  const Tensor x = random(DType::f32, Shape{20001, 3}, "x");
  const Tensor sum = filled(DType::f32, Shape{3}, 0);
  Host positive = host(x).cwiseAbs();
  assign(x, positive);
  ops::accumulate_rows(cpu(), x, sum);
  BOOST_TEST(relative_error(sum, positive.colwise().sum()) < 1e-5);
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  for (const Shape& shape : {Shape{513, 300}, Shape{3000, 17}, Shape{40000, 1}}) {
    const Tensor x = random(DType::f32, shape, "x");
    BOOST_TEST(same_on_any_threads([&] {
      Tensor sum = filled(DType::f32, Shape{shape.cols()}, 0.25);
      ops::accumulate_rows(cpu(), x, sum);
      return sum;
    }));
  }
}

BOOST_AUTO_TEST_CASE(leaves_an_empty_sum_alone_and_refuses_another_length) {
  const Tensor x = random(DType::f32, Shape{5, 3}, "x");
  BOOST_CHECK_NO_THROW(ops::accumulate_rows(cpu(), x, {}));
  BOOST_CHECK_THROW(ops::accumulate_rows(cpu(), x, filled(DType::f32, Shape{4}, 0)), Error);
  BOOST_CHECK_THROW(ops::accumulate_rows(cpu(), x, filled(DType::f64, Shape{3}, 0)), Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
