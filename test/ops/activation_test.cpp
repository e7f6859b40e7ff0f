// SPDX-License-Identifier: Apache-2.0
// The seven activations against their formulas, and their gradients.
#include "trireme/ops/activation.hpp"

#include <array>
#include <numbers>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "numerics.hpp"

namespace trireme::test {
namespace {

constexpr std::array kAll = {Activation::gelu,  Activation::gelu_tanh, Activation::relu,
                             Activation::silu,  Activation::swiglu,    Activation::geglu,
                             Activation::reglu, Activation::geglu_tanh};

double formula(Activation kind, double x) {
  switch (kind) {
    case Activation::gelu:
    case Activation::geglu:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::gelu_tanh:
    case Activation::geglu_tanh: {
      const double inner = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
      return 0.5 * x * (1 + std::tanh(inner));
    }
    case Activation::relu:
    case Activation::reglu:
      return std::max(x, 0.0);
    case Activation::silu:
    case Activation::swiglu:
      return x / (1 + std::exp(-x));
  }
  return 0;
}

Host reference(Activation kind, const Host& x) {
  const std::int64_t n = gated(kind) ? x.cols() / 2 : x.cols();
  Host y(x.rows(), n);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    for (std::int64_t j = 0; j < n; ++j) {
      y(r, j) = formula(kind, x(r, j)) * (gated(kind) ? x(r, n + j) : 1);
    }
  }
  return y;
}

std::int64_t width(Activation kind, std::int64_t n) { return gated(kind) ? 2 * n : n; }

Tensor forward(Activation kind, const ConstView& x) {
  Tensor y = poisoned(x.dtype(), Shape{x.rows(), x.cols() / (gated(kind) ? 2 : 1)});
  ops::activation_forward(cpu(), {.kind = kind, .x = x, .y = y});
  return y;
}

Tensor backward(Activation kind, const ConstView& x, const ConstView& dy) {
  Tensor dx = poisoned(x.dtype(), Shape{x.rows(), x.cols()});
  ops::activation_backward(cpu(), {.kind = kind, .x = x, .dy = dy, .dx = dx});
  return dx;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(activation)

BOOST_AUTO_TEST_CASE(equals_the_formula) {
  for (const Activation kind : kAll) {
    for (const DType type : {DType::f32, DType::f64}) {
      for (const auto& [rows, n] :
           {std::array<std::int64_t, 2>{1, 1}, {3, 3}, {5, 129}, {130, 257}}) {
        for (const double size : {1.0, 12.0}) {
          const Tensor x = random(type, Shape{rows, width(kind, n)}, "x", size);
          BOOST_TEST_CONTEXT(int(kind) << name_of(type) << " " << rows << " " << n) {
            BOOST_TEST(relative_error(forward(kind, x), reference(kind, host(x))) <
                       (type == DType::f64 ? 1e-12 : 2e-6));
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(small_and_large_inputs) {
  const std::vector<double> points = {0,  1e-30, -1e-30, 1e-4, -1e-4, 4,   -4,
                                      -6, 9,     -9,     50,   -50,   1e3, -1e3};
  const std::int64_t n = std::ssize(points);
  for (const Activation kind : kAll) {
    const Tensor x = filled(DType::f32, Shape{1, width(kind, n)}, 1);
    for (std::int64_t j = 0; j < n; ++j) set(x, 0, j, points[static_cast<std::size_t>(j)]);
    const Host y = host(forward(kind, x));
    const Host expected = reference(kind, host(x));
    const Host dx = host(backward(kind, x, filled(DType::f32, Shape{1, n}, 1)));
    for (std::int64_t j = 0; j < n; ++j) {
      const double point = points[static_cast<std::size_t>(j)];
      BOOST_TEST_CONTEXT(int(kind) << " at " << point) {
        const double size = std::abs(expected(0, j));
        BOOST_TEST(std::abs(y(0, j) - expected(0, j)) <= 2e-6 * size + 1e-6);
        BOOST_TEST(std::isfinite(dx(0, j)));
        if (std::abs(point) >= 50) BOOST_TEST(std::abs(dx(0, j) - (point > 0 ? 1 : 0)) < 1e-6);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients) {
  for (const Activation kind : kAll) {
    for (const double size : {1.0, 6.0}) {
      const Tensor x = random(DType::f64, Shape{3, width(kind, 37)}, "x", size);
      const Tensor dy = random(DType::f64, Shape{3, 37}, "dy");
      const Tensor dx = backward(kind, x, dy);
      const auto loss = [&] { return inner(forward(kind, x), dy); };
      BOOST_TEST_CONTEXT(int(kind)) { BOOST_TEST(gradient_error(x, dx, loss) < 1e-8); }
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients_in_place_and_in_windows) {
  for (const Activation kind : kAll) {
    const Tensor wide = filled(DType::f32, Shape{6, width(kind, 21) + 9}, 777);
    const View x = wide.view().slice_cols(4, width(kind, 21));
    assign(x, random_host(6, x.cols(), "x", 3));
    const Tensor wide_y = filled(DType::f32, Shape{6, 30}, 777);
    const Tensor dy = random(DType::f32, Shape{6, 21}, "dy");
    const Tensor expected = backward(kind, clone(x), dy);
    ops::activation_forward(cpu(),
                            {.kind = kind, .x = x, .y = wide_y.view().slice_cols(8, 21)});
    BOOST_TEST(relative_error(wide_y.view().slice_cols(8, 21), reference(kind, host(x))) <
               2e-6);
    ops::activation_backward(cpu(), {.kind = kind, .x = x, .dy = dy, .dx = x});
    BOOST_TEST(relative_error(x, host(expected)) < 1e-6);
    BOOST_TEST((host(wide).leftCols(4).array() == 777).all());
    BOOST_TEST((host(wide).rightCols(5).array() == 777).all());
    BOOST_TEST((host(wide_y).leftCols(8).array() == 777).all());
    BOOST_TEST((host(wide_y).rightCols(1).array() == 777).all());
  }
}

BOOST_AUTO_TEST_CASE(fp32_beside_fp64) {
  for (const Activation kind : kAll) {
    for (const auto& [rows, n] : {std::array<std::int64_t, 2>{1, 1}, {3, 5}, {77, 301}}) {
      const auto run = [&, m = rows, k = n](DType type) {
        return host(backward(kind, random(type, Shape{m, width(kind, k)}, "x", 5),
                             random(type, Shape{m, k}, "dy")));
      };
      BOOST_TEST_CONTEXT(int(kind)) {
        BOOST_TEST(relative_error(run(DType::f32), run(DType::f64)) < 5e-6);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  for (const Activation kind : kAll) {
    const Tensor x = random(DType::f32, Shape{333, width(kind, 211)}, "x", 3);
    const Tensor dy = random(DType::f32, Shape{333, 211}, "dy");
    BOOST_TEST(same_on_any_threads([&] { return forward(kind, x); }));
    BOOST_TEST(same_on_any_threads([&] { return backward(kind, x, dy); }));
  }
}

BOOST_AUTO_TEST_CASE(refuses_what_does_not_fit) {
  const Tensor x = random(DType::f32, Shape{4, 6}, "x");
  const View y = x;
  const Tensor y64 = random(DType::f64, Shape{4, 6}, "y");
  const auto fails = [&](Activation kind, const View& out) {
    BOOST_CHECK_THROW(ops::activation_forward(cpu(), {.kind = kind, .x = x, .y = out}), Error);
    BOOST_CHECK_THROW(
        ops::activation_backward(cpu(), {.kind = kind, .x = x, .dy = out, .dx = x}), Error);
  };
  fails(Activation::gelu, y.slice_cols(0, 3));
  fails(Activation::swiglu, y);
  fails(Activation::silu, y.slice_rows(0, 3));
  fails(Activation::relu, y64);
  BOOST_CHECK_THROW(
      ops::activation_backward(
          cpu(), {.kind = Activation::silu, .x = x, .dy = y, .dx = y.slice_cols(0, 3)}),
      Error);
  BOOST_CHECK_THROW(
      ops::activation_backward(cpu(), {.kind = Activation::silu, .x = x, .dy = y, .dx = y64}),
      Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
