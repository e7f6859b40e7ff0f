// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm against their formulas, and their gradients.
#include "trireme/ops/norm.hpp"

#include <array>

#include <boost/test/unit_test.hpp>

#include "numerics.hpp"

namespace trireme::test {
namespace {

constexpr std::array kKinds = {Norm::layernorm, Norm::rmsnorm};
constexpr double kEpsilon = 1e-5;

/// An input, what the norm makes of it, and a gradient that comes back.
struct Case {
  Case(DType t, std::int64_t rows, std::int64_t h, bool with_bias = true)
      : type(t),
        x(random(t, Shape{rows, h}, "x", 2)),
        weight(random(t, Shape{h}, "weight")),
        bias(random(t, Shape{h}, "bias")),
        y(poisoned(t, Shape{rows, h})),
        statistics(poisoned(t, Shape{rows, 2})),
        dy(random(t, Shape{rows, h}, "dy")),
        add(random(t, Shape{rows, h}, "add")),
        dx(poisoned(t, Shape{rows, h})),
        dweight(random(t, Shape{h}, "dweight")),
        dbias(random(t, Shape{h}, "dbias")),
        biased(with_bias) {}

  void forward(Norm kind) const {
    ops::norm_forward(cpu(), {.kind = kind,
                              .epsilon = kEpsilon,
                              .x = x,
                              .weight = weight,
                              .bias = biased ? ConstView(bias) : ConstView(),
                              .weight_offset = offset,
                              .y = y,
                              .statistics = statistics});
  }
  void backward(Norm kind, bool adding) const {
    ops::norm_backward(cpu(), {.kind = kind,
                               .dy = dy,
                               .x = x,
                               .weight = weight,
                               .weight_offset = offset,
                               .statistics = statistics,
                               .add = adding ? ConstView(add) : ConstView(),
                               .dx = dx,
                               .dweight = dweight,
                               .dbias = biased ? View(dbias) : View()});
  }
  [[nodiscard]] double loss(Norm kind) const {
    forward(kind);
    return inner(y, dy);
  }

  DType type;
  Tensor x, weight, bias, y, statistics, dy, add, dx, dweight, dbias;
  bool biased;
  double offset = 0;  ///< of weights
};

void expect(const Case& c, Norm kind, Host& y, Host& statistics) {
  const Host x = host(c.x);
  const Host w = host(c.weight);
  const Host b = host(c.bias);
  y.resize(x.rows(), x.cols());
  statistics.resize(x.rows(), 2);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const double mean = kind == Norm::layernorm ? x.row(r).mean() : 0;
    double variance = 0;
    for (std::int64_t j = 0; j < x.cols(); ++j) variance += std::pow(x(r, j) - mean, 2);
    const double rstd = 1 / std::sqrt(variance / static_cast<double>(x.cols()) + kEpsilon);
    statistics.row(r) << mean, rstd;
    for (std::int64_t j = 0; j < x.cols(); ++j) {
      y(r, j) = (x(r, j) - mean) * rstd * (w(0, j) + c.offset) + (c.biased ? b(0, j) : 0);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(norm)

BOOST_AUTO_TEST_CASE(equals_the_formula) {
  for (const Norm kind : kKinds) {
    for (const bool biased : {false, true}) {
      for (const DType type : {DType::f32, DType::f64}) {
        for (const std::int64_t h : {1, 3, 64, 257}) {
          for (const std::int64_t rows : {1, 3, 130}) {
            const Case c(type, rows, h, biased);
            c.forward(kind);
            Host y;
            Host statistics;
            expect(c, kind, y, statistics);
            const double bound = type == DType::f64 ? 1e-12 : 2e-6;
            BOOST_TEST_CONTEXT(int(kind)
                               << biased << name_of(type) << " " << rows << " " << h) {
              BOOST_TEST(relative_error(c.y, y) < bound);
              BOOST_TEST(relative_error(c.statistics, statistics) < bound);
            }
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients) {
  for (const Norm kind : kKinds) {
    for (const bool biased : {false, true}) {
      for (const std::int64_t h : {1, 3, 32, 65}) {
        const Case c(DType::f64, 7, h, biased);
        const Host add = host(c.add);
        const Host dweight = host(c.dweight);
        const Host dbias = host(c.dbias);
        c.forward(kind);
        c.backward(kind, true);
        // Without what they were added to, these are the gradients themselves.
        assign(c.dx, host(c.dx) - add);
        assign(c.dweight, host(c.dweight) - dweight);
        assign(c.dbias, host(c.dbias) - dbias);
        const auto loss = [&] { return c.loss(kind); };
        BOOST_TEST_CONTEXT(int(kind) << biased << " " << h) {
          BOOST_TEST(gradient_error(c.x, c.dx, loss) < 1e-6);  // y bends sharply for h = 1
          BOOST_TEST(gradient_error(c.weight, c.dweight, loss) < 1e-7);
          BOOST_TEST(gradient_error(c.bias, c.dbias, loss) < 1e-7);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(weights_may_be_counted_from_one) {
  for (const Norm kind : kKinds) {
    Case c(DType::f64, 7, 33);
    c.offset = 1;
    Host y;
    Host statistics;
    expect(c, kind, y, statistics);
    const Host dweight = host(c.dweight);
    c.forward(kind);
    BOOST_TEST(relative_error(c.y, y) < 1e-12);
    c.backward(kind, false);
    assign(c.dweight, host(c.dweight) - dweight);
    const auto loss = [&] { return c.loss(kind); };
    BOOST_TEST(gradient_error(c.x, c.dx, loss) < 1e-7);
    BOOST_TEST(gradient_error(c.weight, c.dweight, loss) < 1e-7);
  }
}

BOOST_AUTO_TEST_CASE(gradient_without_add_and_into_add) {
  for (const Norm kind : kKinds) {
    const Case c(DType::f64, 5, 33);
    c.forward(kind);
    c.backward(kind, false);
    const Host alone = host(c.dx);
    const Tensor sum = clone(c.add);
    ops::norm_backward(cpu(), {.kind = kind,
                               .dy = c.dy,
                               .x = c.x,
                               .weight = c.weight,
                               .statistics = c.statistics,
                               .add = sum,
                               .dx = sum,
                               .dweight = c.dweight,
                               .dbias = c.dbias});
    BOOST_TEST(relative_error(sum, alone + host(c.add)) < 1e-14);
  }
}

BOOST_AUTO_TEST_CASE(fp32_beside_fp64) {
  for (const Norm kind : kKinds) {
    for (const auto& [rows, h] : {std::array<std::int64_t, 2>{1, 9}, {3, 5}, {77, 301}}) {
      const Case single(DType::f32, rows, h);
      const Case twice(DType::f64, rows, h);
      for (const Case* c : {&single, &twice}) {
        c->forward(kind);
        c->backward(kind, true);
      }
      BOOST_TEST(relative_error(single.dx, host(twice.dx)) < 5e-6);
      BOOST_TEST(relative_error(single.dweight, host(twice.dweight)) < 5e-6);
      BOOST_TEST(relative_error(single.dbias, host(twice.dbias)) < 5e-6);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_large_mean_costs_no_accuracy) {
  const Case c(DType::f32, 4, 512);
  assign(c.x, (host(c.x).array() + 1000).matrix());
  c.forward(Norm::layernorm);
  Host y;
  Host statistics;
  expect(c, Norm::layernorm, y, statistics);
  BOOST_TEST(relative_error(c.y, y) < 1e-4);
}

BOOST_AUTO_TEST_CASE(constant_rows_stay_finite) {
  const Case c(DType::f32, 3, 40);
  assign(c.x, Host::Constant(3, 40, 0.3));
  c.forward(Norm::layernorm);
  c.backward(Norm::layernorm, true);
  BOOST_TEST((host(c.y).rowwise() - host(c.bias).row(0)).cwiseAbs().maxCoeff() < 1e-4);
  BOOST_TEST(host(c.dx).allFinite());
}

BOOST_AUTO_TEST_CASE(windows_with_wide_rows) {
  const Case c(DType::f64, 6, 10);
  c.forward(Norm::layernorm);
  c.backward(Norm::layernorm, true);
  const Tensor x = random(DType::f64, Shape{6, 17}, "wide");
  const Tensor y = filled(DType::f64, Shape{6, 17}, 777);
  const Tensor dx = filled(DType::f64, Shape{6, 17}, 777);
  const View inner_x = x.view().slice_cols(3, 10);
  assign(inner_x, host(c.x));
  ops::norm_forward(cpu(), {.kind = Norm::layernorm,
                            .epsilon = kEpsilon,
                            .x = inner_x,
                            .weight = c.weight,
                            .bias = c.bias,
                            .y = y.view().slice_cols(3, 10),
                            .statistics = c.statistics});
  ops::norm_backward(cpu(), {.kind = Norm::layernorm,
                             .dy = c.dy,
                             .x = inner_x,
                             .weight = c.weight,
                             .statistics = c.statistics,
                             .add = c.add,
                             .dx = dx.view().slice_cols(3, 10),
                             .dweight = c.dweight,
                             .dbias = c.dbias});
  BOOST_TEST(relative_error(y.view().slice_cols(3, 10), host(c.y)) < 1e-14);
  BOOST_TEST(relative_error(dx.view().slice_cols(3, 10), host(c.dx)) < 1e-14);
  for (const Tensor& t : {y, dx}) {
    BOOST_TEST((host(t).leftCols(3).array() == 777).all());
    BOOST_TEST((host(t).rightCols(4).array() == 777).all());
  }
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  for (const Norm kind : kKinds) {
    for (const auto& [rows, h] : {std::array<std::int64_t, 2>{700, 96}, {5000, 9}}) {
      const auto run = [&](auto&& pick) {
        return same_on_any_threads([&] {
          const Case c(DType::f32, rows, h);
          c.forward(kind);
          c.backward(kind, true);
          return pick(c);
        });
      };
      BOOST_TEST(run([](const Case& c) { return c.y; }));
      BOOST_TEST(run([](const Case& c) { return c.dx; }));
      BOOST_TEST(run([](const Case& c) { return c.dweight; }));
      BOOST_TEST(run([](const Case& c) { return c.dbias; }));
    }
  }
}

BOOST_AUTO_TEST_CASE(refuses_what_does_not_fit) {
  const Case c(DType::f32, 4, 6);
  const auto forward = [&](const ConstView& x, const ConstView& w, const ConstView& b,
                           const View& y, const View& s) {
    ops::norm_forward(cpu(), {.kind = Norm::layernorm,
                              .epsilon = kEpsilon,
                              .x = x,
                              .weight = w,
                              .bias = b,
                              .y = y,
                              .statistics = s});
  };
  const View y = c.y;
  const View s = c.statistics;
  const View w = c.weight;
  const View narrow = w.reshape(Shape{1, 6}).slice_cols(0, 5);
  BOOST_CHECK_THROW(forward(c.x, narrow, {}, y, s), Error);
  BOOST_CHECK_THROW(forward(c.x, w, narrow, y, s), Error);
  BOOST_CHECK_THROW(forward(c.x, w, {}, y.slice_rows(0, 3), s), Error);
  BOOST_CHECK_THROW(forward(c.x, w, {}, y, s.slice_rows(0, 3)), Error);
  BOOST_CHECK_THROW(forward(c.x, w, {}, y, s.slice_cols(0, 1)), Error);
  const Case other(DType::f64, 4, 6);
  BOOST_CHECK_THROW(forward(c.x, other.weight, {}, y, s), Error);
  BOOST_CHECK_THROW(forward(c.x, w, other.bias, y, s), Error);
  BOOST_CHECK_THROW(forward(c.x, w, {}, other.y, s), Error);
  const auto backward = [&](const ConstView& dy, const ConstView& add, const View& dx,
                            const View& dw, const View& db) {
    ops::norm_backward(cpu(), {.kind = Norm::layernorm,
                               .dy = dy,
                               .x = c.x,
                               .weight = c.weight,
                               .statistics = c.statistics,
                               .add = add,
                               .dx = dx,
                               .dweight = dw,
                               .dbias = db});
  };
  const View dx = c.dx;
  BOOST_CHECK_THROW(backward(dx.slice_rows(0, 3), {}, dx, c.dweight, {}), Error);
  BOOST_CHECK_THROW(backward(c.dy, dx.slice_rows(0, 3), dx, c.dweight, {}), Error);
  BOOST_CHECK_THROW(backward(c.dy, {}, dx.slice_rows(0, 3), c.dweight, {}), Error);
  BOOST_CHECK_THROW(backward(c.dy, {}, dx, narrow, {}), Error);
  BOOST_CHECK_THROW(backward(c.dy, {}, dx, c.dweight, narrow), Error);
  BOOST_CHECK_THROW(backward(other.dy, {}, dx, c.dweight, {}), Error);
  BOOST_CHECK_THROW(backward(c.dy, other.add, dx, c.dweight, {}), Error);
  BOOST_CHECK_THROW(backward(c.dy, {}, other.dx, c.dweight, {}), Error);
  BOOST_CHECK_THROW(backward(c.dy, {}, dx, other.dweight, {}), Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
