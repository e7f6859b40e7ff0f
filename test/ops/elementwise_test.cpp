// SPDX-License-Identifier: Apache-2.0
// Sums, copies, dropout masks and sums of squares.
#include "trireme/ops/elementwise.hpp"

#include <array>

#include <boost/test/unit_test.hpp>

#include "numerics.hpp"

namespace trireme::test {
namespace {

constexpr std::array kTypes = {DType::f32, DType::f64};
const std::array kShapes = {Shape{1}, Shape{3, 5}, Shape{1, 4097}, Shape{150, 257}};

Tensor dropped(const ConstView& x, const Dropout& spec, const ConstView& add = {}) {
  Tensor y = poisoned(x.dtype(), Shape{x.rows(), x.cols()});
  ops::apply_dropout(cpu(), {.x = x, .dropout = spec, .add = add, .y = y});
  return y;
}

/// 0 or 1/(1 − p), as the header defines it.
double factor(const Dropout& d, std::int64_t row, std::int64_t column) {
  column += d.first_column;
  const auto words = philox(d.key, d.first_row + static_cast<std::uint64_t>(row),
                            static_cast<std::uint32_t>(column / 4));
  const double word = words[static_cast<std::size_t>(column % 4)];
  return word >= d.probability * 0x1p32 ? 1 / (1 - d.probability) : 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(elementwise)

BOOST_AUTO_TEST_CASE(sums_and_copies) {
  for (const DType type : kTypes) {
    for (const Shape& shape : kShapes) {
      const Tensor a = random(type, shape, "a");
      const Tensor b = random(type, shape, "b");
      const Tensor y = poisoned(type, shape);
      const double bound = type == DType::f64 ? 1e-15 : 1e-7;
      ops::add(cpu(), a, b, y);
      BOOST_TEST(relative_error(y, host(a) + host(b)) < bound);
      const Tensor in_place = clone(a);
      ops::add(cpu(), in_place, b, in_place);
      BOOST_TEST((host(in_place) == host(y)));
      ops::add(cpu(), b, a, in_place);
      ops::copy(cpu(), b, in_place);
      ops::add(cpu(), a, in_place, in_place);
      BOOST_TEST((host(in_place) == host(y)));
    }
  }
}

BOOST_AUTO_TEST_CASE(factors_and_caps) {
  for (const DType type : kTypes) {
    for (const Shape& shape : kShapes) {
      const Tensor x = random(type, shape, "x", 3);
      const Tensor dy = random(type, shape, "dy");
      const Tensor y = poisoned(type, shape);
      const double bound = type == DType::f64 ? 1e-15 : 5e-7;
      ops::scale(cpu(), {.x = x, .factor = 2.5, .y = y});
      BOOST_TEST(relative_error(y, 2.5 * host(x)) < bound);
      ops::softcap(cpu(), {.cap = 2, .x = x, .y = y});
      const Host t = (host(x) / 2).array().tanh();
      BOOST_TEST(relative_error(y, 2 * t) < 4 * bound);
      ops::softcap_gradient(cpu(), {.cap = 2, .y = y, .dy = dy, .dx = dy});
      const Host expected = host(random(type, shape, "dy")).array() * (1 - t.array().square());
      BOOST_TEST(relative_error(dy, expected) < 8 * bound);
    }
  }
}

BOOST_AUTO_TEST_CASE(windows_with_wide_rows) {
  const Tensor x = random(DType::f32, Shape{5, 9}, "x");
  const Tensor y = filled(DType::f32, Shape{5, 12}, 777);
  const ConstView from = x.view().slice_cols(2, 6);
  const View to = y.view().slice_cols(3, 6);
  Host expected = host(y);
  const auto check = [&](const Host& middle) {
    expected.middleCols(3, 6) = middle;
    BOOST_TEST((host(y) - expected).cwiseAbs().maxCoeff() < 1e-6);
  };
  ops::copy(cpu(), from, to);
  check(host(from));
  ops::add(cpu(), from, to, to);
  check(2 * host(from));
  ops::apply_dropout(cpu(), {.x = from, .dropout = {}, .y = to});
  check(host(from));
}

BOOST_AUTO_TEST_CASE(dropout_follows_its_definition) {
  for (const DType type : kTypes) {
    for (const Shape& shape : kShapes) {
      for (const double p : {0.0, 0.3, 0.9}) {
        const Dropout spec{p, {0x123456789abcdefULL, 42}, 0x100000007ULL, p > 0.5 ? 12U : 0U};
        const Tensor x = random(type, shape, "x");
        const Tensor add = random(type, shape, "add");
        Host expected = host(x);
        for (std::int64_t r = 0; r < x.rows(); ++r) {
          for (std::int64_t c = 0; c < x.cols(); ++c) expected(r, c) *= factor(spec, r, c);
        }
        const double bound = type == DType::f64 ? 1e-15 : 2e-7;
        BOOST_TEST(relative_error(dropped(x, spec), expected) < bound);
        expected += host(add);
        BOOST_TEST(relative_error(dropped(x, spec, add), expected) < bound);
        const Tensor over_x = clone(x);
        ops::apply_dropout(cpu(), {.x = over_x, .dropout = spec, .add = add, .y = over_x});
        BOOST_TEST(relative_error(over_x, expected) < bound);
        const Tensor over_add = clone(add);
        ops::apply_dropout(cpu(), {.x = x, .dropout = spec, .add = over_add, .y = over_add});
        BOOST_TEST(relative_error(over_add, expected) < bound);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(dropout_keeps_its_share) {
  const Tensor x = filled(DType::f32, Shape{400, 501}, 1);
  const double n = static_cast<double>(x.count());
  for (const double p : {0.1, 0.3, 0.5}) {
    const Host y = host(dropped(x, {p, {5, 1}}));
    const double kept = (y.array() != 0).cast<double>().sum();
    BOOST_TEST(std::abs(kept - n * (1 - p)) < 5 * std::sqrt(n * p * (1 - p)));
    // Neighbours must be dropped independently of each other.
    const Host on = (y.array() != 0).cast<double>();
    const double pairs = on.leftCols(500).cwiseProduct(on.rightCols(500)).mean();
    BOOST_TEST(std::abs(pairs - (1 - p) * (1 - p)) < 0.01);
    const double below = on.topRows(399).cwiseProduct(on.bottomRows(399)).mean();
    BOOST_TEST(std::abs(below - (1 - p) * (1 - p)) < 0.01);
  }
}

BOOST_AUTO_TEST_CASE(dropout_depends_on_global_rows_and_its_key) {
  const Tensor x = random(DType::f32, Shape{30, 19}, "x");
  const Dropout spec{0.4, {5, 1}, 1000};
  const Tensor whole = dropped(x, spec);
  Dropout later = spec;
  later.first_row += 11;
  const Tensor part = dropped(x.view().slice_rows(11, 7), later);
  BOOST_TEST(same_bits(part, whole.view().slice_rows(11, 7)));
  for (const Dropout& other : {Dropout{0.4, {5, 2}, 1000}, Dropout{0.4, {6, 1}, 1000}, later}) {
    BOOST_TEST(!same_bits(dropped(x, other), whole));
  }
}

BOOST_AUTO_TEST_CASE(dropout_gradient) {
  const Dropout spec{0.3, {5, 1}, 9};
  const Tensor x = random(DType::f64, Shape{7, 9}, "x");
  const Tensor dy = random(DType::f64, Shape{7, 9}, "dy");
  const auto loss = [&] { return inner(dropped(x, spec), dy); };
  BOOST_TEST(gradient_error(x, dropped(dy, spec), loss) < 1e-8);
}

BOOST_AUTO_TEST_CASE(squares_are_summed_in_fp64) {
  for (const DType type : kTypes) {
    for (const Shape& shape : kShapes) {
      const Tensor x = random(type, shape, "x");
      const Tensor total = filled(DType::f64, Shape{1}, 10);
      ops::accumulate_squares(cpu(), x, total);
      const double expected = 10 + host(x).squaredNorm();
      BOOST_TEST(std::abs(total.data<double>()[0] - expected) < 1e-12 * expected);
    }
  }
  const Tensor large = filled(DType::f32, Shape{2, 3}, 1e30);
  const Tensor total = filled(DType::f64, Shape{1}, 0);
  ops::accumulate_squares(cpu(), large, total);
  BOOST_TEST(std::abs(total.data<double>()[0] / 6e60 - 1) < 1e-6);
  const Tensor wide = random(DType::f32, Shape{4, 9}, "x");
  const Tensor part = filled(DType::f64, Shape{1}, 0);
  ops::accumulate_squares(cpu(), wide.view().slice_cols(2, 3), part);
  const double expected = host(wide).middleCols(2, 3).squaredNorm();
  BOOST_TEST(std::abs(part.data<double>()[0] - expected) < 1e-14);
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  const Tensor a = random(DType::f32, Shape{301, 333}, "a");
  const Tensor b = random(DType::f32, Shape{301, 333}, "b");
  for (const View& x : {View(a), a.view().reshape(Shape{301 * 333})}) {
    BOOST_TEST(same_on_any_threads([&] {
      Tensor total = filled(DType::f64, Shape{1}, 0);
      ops::accumulate_squares(cpu(), x, total);
      return total;
    }));
  }
  BOOST_TEST(same_on_any_threads([&] { return dropped(a, {0.2, {1, 2}}, b); }));
  BOOST_TEST(same_on_any_threads([&] {
    Tensor y = poisoned(DType::f32, a.shape());
    ops::add(cpu(), a, b, y);
    return y;
  }));
}

BOOST_AUTO_TEST_CASE(finds_the_first_that_is_not_finite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  for (const DType type : kTypes) {
    for (const int threads : {1, 3}) {
      const Threads use(threads);
      const Tensor x = random(type, Shape{200, 301}, "x", 1e30);
      BOOST_TEST(ops::first_non_finite(cpu(), x) == -1);
      std::int64_t last = x.count();
      for (const double bad : {inf, nan, -inf}) {
        last -= 20000;
        set(x, last / 301, last % 301, bad);
        BOOST_TEST(ops::first_non_finite(cpu(), x) == last);
      }
      const View part = x.view().slice_cols(40, 50);  // the bad ones are in other columns
      BOOST_TEST(ops::first_non_finite(cpu(), part) == -1);
      set(part, 3, 49, nan);
      BOOST_TEST(ops::first_non_finite(cpu(), part) == 3 * 50 + 49);
    }
  }
}

BOOST_AUTO_TEST_CASE(refuses_what_does_not_fit) {
  const Tensor x = random(DType::f32, Shape{4, 6}, "x");
  const Tensor x64 = random(DType::f64, Shape{4, 6}, "x");
  const View v = x;
  for (const View& other : {v.slice_rows(0, 3), v.slice_cols(0, 5), View(x64)}) {
    BOOST_CHECK_THROW(ops::add(cpu(), v, other, v), Error);
    BOOST_CHECK_THROW(ops::add(cpu(), v, v, other), Error);
    BOOST_CHECK_THROW(ops::copy(cpu(), v, other), Error);
    BOOST_CHECK_THROW(ops::apply_dropout(cpu(), {.x = v, .dropout = {}, .y = other}), Error);
    BOOST_CHECK_THROW(ops::apply_dropout(cpu(), {.x = v, .dropout = {}, .add = other, .y = v}),
                      Error);
  }
  BOOST_CHECK_THROW(ops::apply_dropout(cpu(), {.x = v, .dropout = {1.0, {}}, .y = v}), Error);
  BOOST_CHECK_THROW(ops::apply_dropout(cpu(), {.x = v, .dropout = {-0.1, {}}, .y = v}), Error);
  BOOST_CHECK_THROW(ops::accumulate_squares(cpu(), v, filled(DType::f32, Shape{1}, 0)), Error);
  BOOST_CHECK_THROW(ops::accumulate_squares(cpu(), v, filled(DType::f64, Shape{2}, 0)), Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
