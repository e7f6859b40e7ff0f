// SPDX-License-Identifier: Apache-2.0
// Sums, casts, dropout and parameter updates on arrays of half and of mixed types.
#include <cmath>

#include <boost/test/unit_test.hpp>

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/update.hpp"

#include "half.hpp"

namespace trireme::test {
namespace {

constexpr std::array kFloating = {DType::f32, DType::f64, DType::bf16, DType::f16};
constexpr std::array<std::array<std::int64_t, 2>, 5> kSizes = {
    {{1, 1}, {3, 5}, {1, 4097}, {7, 1025}, {150, 31}}};

template <class F>
void for_sizes(F&& f) {
  for (const auto& [rows, cols] : kSizes) {
    BOOST_TEST_CONTEXT(rows << " × " << cols) {
      f(rows, cols);
      BOOST_TEST(Windows::untouched());
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(half_elementwise)

BOOST_AUTO_TEST_CASE(sums_and_copies) {
  for (const DType type : kHalves) {
    for_sizes([&](std::int64_t n, std::int64_t h) {
      const View a = Windows::random(type, n, h, "a");
      const View b = Windows::random(type, n, h, "b");
      const View y = Windows::poisoned(type, n, h);
      const Host sum = host(a) + host(b);
      ops::add(cpu(), a, b, y);
      BOOST_TEST(relative_error(y, sum) < rounding(type));
      ops::copy(cpu(), a, y);
      BOOST_TEST(same_bits(a, y));
      ops::add(cpu(), y, b, y);
      BOOST_TEST(relative_error(y, sum) < rounding(type));
    });
  }
}

BOOST_AUTO_TEST_CASE(dropout_masks_are_those_of_fp64) {
  const Dropout spec{0.3, {9, 4}, 1ULL << 33U};
  for (const DType type : kHalves) {
    for_sizes([&](std::int64_t n, std::int64_t h) {
      const View x = Windows::random(type, n, h, "x");
      const View y = Windows::random(type, n, h, "add");  // y is `add`
      const Tensor y64 = as_f64(y);
      ops::apply_dropout(cpu(), {.x = x, .dropout = spec, .add = y, .y = y});
      ops::apply_dropout(cpu(), {.x = as_f64(x), .dropout = spec, .add = y64, .y = y64});
      BOOST_TEST(relative_error(y, host(y64)) < rounding(type));
    });
  }
}

BOOST_AUTO_TEST_CASE(casts_between_all_types) {
  for (const DType from : kFloating) {
    for (const DType to : kFloating) {
      BOOST_TEST_CONTEXT(name_of(from) << " to " << name_of(to)) {
        for_sizes([&](std::int64_t n, std::int64_t h) {
          const View x = Windows::random(from, n, h, "x");
          const View y = Windows::poisoned(to, n, h);
          ops::cast(cpu(), x, y);
          BOOST_TEST((host(y) == host(as(to, x))));
        });
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(casts_round_once) {
  // Rounded to fp32 first, these would become ties, which round down.
  const std::array<double, 4> points = {1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-11 + 0x1p-40,
                                        -(1 + 0x1p-11 + 0x1p-40), 1 + 0x1p-11 - 0x1p-40};
  const Tensor x = cpu().make(DType::f64, Shape{4});
  for (int i = 0; i < 4; ++i) set(x, 0, i, points[static_cast<std::size_t>(i)]);
  const auto casted = [&](DType type) {
    const Tensor y = poisoned(type, Shape{4});
    ops::cast(cpu(), x, y);
    return host(y);
  };
  BOOST_TEST(casted(DType::bf16)(0, 0) == 1 + 0x1p-7);
  const Host h = casted(DType::f16);
  BOOST_TEST(h(0, 1) == 1 + 0x1p-10);
  BOOST_TEST(h(0, 2) == -(1 + 0x1p-10));
  BOOST_TEST(h(0, 3) == 1);
}

BOOST_AUTO_TEST_CASE(casts_at_the_ends) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const DType from : {DType::f32, DType::f64}) {
    const Tensor x = cpu().make(from, Shape{5});
    const std::array<double, 5> values = {70000, -1e38, inf, -inf, std::nan("")};
    for (int i = 0; i < 5; ++i) set(x, 0, i, values[static_cast<std::size_t>(i)]);
    const Tensor y = poisoned(DType::f16, Shape{5});
    ops::cast(cpu(), x, y);
    const Host h = host(y);
    BOOST_TEST((h(0, 0) == inf && h(0, 1) == -inf && h(0, 2) == inf && h(0, 3) == -inf));
    BOOST_TEST(std::isnan(h(0, 4)));
  }
}

BOOST_AUTO_TEST_CASE(accumulates_in_fp32) {
  for (const DType from : {DType::f32, DType::bf16, DType::f16}) {
    for (const DType to : {DType::f32, DType::bf16, DType::f16}) {
      for_sizes([&](std::int64_t n, std::int64_t h) {
        const View x = Windows::random(from, n, h, "x", 3);
        const View y = Windows::random(to, n, h, "y");
        const Host expected = host(x) + host(y);
        ops::accumulate(cpu(), x, y);
        BOOST_TEST(relative_error(y, expected) < rounding(to));
      });
    }
  }
  const Tensor x = random(DType::f64, Shape{3, 5}, "x");
  const Tensor y = random(DType::f64, Shape{3, 5}, "y");
  const Host expected = host(x) + host(y);
  ops::accumulate(cpu(), x, y);
  BOOST_TEST(relative_error(y, expected) < 1e-15);
}

BOOST_AUTO_TEST_CASE(squares_and_what_is_not_finite) {
  for (const DType type : kHalves) {
    for_sizes([&](std::int64_t n, std::int64_t h) {
      const View x = Windows::random(type, n, h, "x", 3e4);
      const Tensor total = filled(DType::f64, Shape{1}, 10);
      ops::accumulate_squares(cpu(), x, total);
      const double expected = 10 + host(x).squaredNorm();
      BOOST_TEST(std::abs(total.data<double>()[0] - expected) < 1e-12 * expected);
      BOOST_TEST(ops::first_non_finite(cpu(), x) == -1);
      for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
        const std::int64_t at = n * h * 2 / 3;
        set(x, at / h, at % h, bad);
        BOOST_TEST(ops::first_non_finite(cpu(), x) == at);
      }
    });
  }
}

BOOST_AUTO_TEST_CASE(refuses_other_types) {
  const auto make = [](DType t) { return Tensor(cpu().device, t, Shape{4}); };
  const Tensor x = make(DType::bf16);
  const Tensor total = filled(DType::f64, Shape{1}, 0);
  BOOST_CHECK_THROW(ops::add(cpu(), x, x, make(DType::f32)), Error);
  BOOST_CHECK_THROW(ops::copy(cpu(), x, make(DType::f16)), Error);
  BOOST_CHECK_THROW(
      ops::apply_dropout(cpu(), {.x = x, .dropout = {}, .add = make(DType::f32), .y = x}),
      Error);
  BOOST_CHECK_THROW(ops::accumulate(cpu(), x, make(DType::f64)), Error);
  BOOST_CHECK_THROW(ops::accumulate(cpu(), make(DType::f64), make(DType::f32)), Error);
  BOOST_CHECK_THROW(ops::accumulate(cpu(), make(DType::i32), make(DType::f32)), Error);
  BOOST_CHECK_THROW(ops::cast(cpu(), x, make(DType::u16)), Error);
  BOOST_CHECK_THROW(ops::cast(cpu(), make(DType::i32), x), Error);
  BOOST_CHECK_THROW(ops::cast(cpu(), x, random(DType::f32, Shape{5}, "x")), Error);
  BOOST_CHECK_THROW(ops::accumulate_squares(cpu(), make(DType::u16), total), Error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(mixed_updates)

namespace {

struct Types {
  DType gradient, value, moments, copy;
};
constexpr std::array kMixes = {
    Types{DType::f32, DType::f32, DType::f32, DType::bf16},
    Types{DType::f32, DType::f32, DType::f32, DType::f32},
    Types{DType::bf16, DType::f32, DType::bf16, DType::bf16},
    Types{DType::f16, DType::f16, DType::f16, DType::f16},
    Types{DType::f16, DType::bf16, DType::f32, DType::f16},
    Types{DType::f64, DType::f64, DType::f64, DType::f64},
};

/// One step from the same values as an fp64 one.
template <class F>
void check_step(const Types& t, std::int64_t n, F&& step) {
  const auto array = [&](DType type, const char* name, double shift) {
    Tensor x = cpu().make(type, Shape{n});
    assign(x, (random_host(1, n, name).array() + shift).matrix());
    return x;
  };
  const std::array<Tensor, 5> mixed = {array(t.gradient, "g", 0), array(t.value, "theta", 0),
                                       array(t.moments, "m", 0), array(t.moments, "v", 1.001),
                                       poisoned(t.copy, Shape{n})};
  std::array<Tensor, 5> exact;
  for (std::size_t i = 0; i < 5; ++i) exact[i] = as_f64(mixed[i]);
  step(mixed);
  step(exact);
  BOOST_TEST_CONTEXT(name_of(t.gradient) << " " << name_of(t.value) << " " << name_of(t.moments)
                                         << " " << name_of(t.copy) << " " << n) {
    for (std::size_t i = 0; i < 5; ++i) {
      BOOST_TEST(relative_error(mixed[i], host(exact[i])) < rounding(mixed[i].dtype()));
    }
  }
}

const AdamwStep kAdamw{.lr = 0.1,
                       .beta1 = 0.9,
                       .beta2 = 0.95,
                       .epsilon = 1e-8,
                       .weight_decay = 0.1,
                       .gradient_scale = 0.25,
                       .step = 3};

}  // namespace

BOOST_AUTO_TEST_CASE(adamw) {
  for (const Types& t : kMixes) {
    for (const std::int64_t n : {1, 3, 1025, 20001}) {
      check_step(t, n, [](const std::array<Tensor, 5>& x) {
        ops::adamw(cpu(), {.step = kAdamw,
                           .gradient = x[0],
                           .value = x[1],
                           .exp_avg = x[2],
                           .exp_avg_sq = x[3],
                           .copy = x[4]});
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(sgd) {
  for (const Types& t : kMixes) {
    for (const std::int64_t n : {1, 3, 1025, 20001}) {
      for (const double momentum : {0.0, 0.9}) {
        const SgdStep s{
            .lr = 0.1, .momentum = momentum, .weight_decay = 0.1, .gradient_scale = 0.5};
        check_step(t, n, [&](const std::array<Tensor, 5>& x) {
          ops::sgd(cpu(), {.step = s,
                           .gradient = x[0],
                           .value = x[1],
                           .momentum = momentum == 0 ? View() : View(x[2]),
                           .copy = x[4]});
        });
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(the_copy_is_the_new_value_rounded) {
  const Tensor g = random(DType::f32, Shape{3001}, "g");
  const Tensor theta = random(DType::f32, Shape{3001}, "theta");
  const Tensor m = filled(DType::f32, Shape{3001}, 0);
  const Tensor v = filled(DType::f32, Shape{3001}, 0);
  const Tensor copy = poisoned(DType::bf16, Shape{3001});
  const Tensor expected = poisoned(DType::bf16, Shape{3001});
  ops::adamw(cpu(), {.step = kAdamw,
                     .gradient = g,
                     .value = theta,
                     .exp_avg = m,
                     .exp_avg_sq = v,
                     .copy = copy});
  ops::cast(cpu(), theta, expected);
  BOOST_TEST(same_bits(copy, expected));
  ops::sgd(cpu(), {.step = {.lr = 0.5}, .gradient = g, .value = theta, .copy = copy});
  ops::cast(cpu(), theta, expected);
  BOOST_TEST(same_bits(copy, expected));
}

BOOST_AUTO_TEST_CASE(same_bits_in_parts_and_on_any_threads) {
  const std::int64_t n = 100003;
  const auto run = [&](std::int64_t cut) {
    const Tensor g = random(DType::bf16, Shape{n}, "g");
    const Tensor theta = random(DType::f32, Shape{n}, "theta");
    const Tensor m = filled(DType::bf16, Shape{n}, 0);
    const Tensor v = filled(DType::bf16, Shape{n}, 0);
    Tensor copy = poisoned(DType::f16, Shape{n});
    for (const auto& [at, count] :
         {std::array<std::int64_t, 2>{0, cut}, std::array<std::int64_t, 2>{cut, n - cut}}) {
      const auto part = [&, a = at, k = count](const Tensor& t) {
        return t.view().reshape(Shape{n, 1}).slice_rows(a, k);
      };
      ops::adamw(cpu(), {.step = kAdamw,
                         .gradient = part(g),
                         .value = part(theta),
                         .exp_avg = part(m),
                         .exp_avg_sq = part(v),
                         .copy = part(copy)});
    }
    return copy;
  };
  BOOST_TEST(same_bits(run(777), run(50001)));
  BOOST_TEST(same_on_any_threads([&] { return run(777); }));
}

BOOST_AUTO_TEST_CASE(refuses_what_does_not_fit) {
  const auto make = [](DType t, std::int64_t n = 6) { return random(t, Shape{n}, "x"); };
  const Tensor x = make(DType::f32);
  const Tensor h = make(DType::bf16);
  const auto adamw_fails = [](const View& g, const View& theta, const View& m, const View& v,
                              const View& copy) {
    BOOST_CHECK_THROW(ops::adamw(cpu(), {.step = kAdamw,
                                         .gradient = g,
                                         .value = theta,
                                         .exp_avg = m,
                                         .exp_avg_sq = v,
                                         .copy = copy}),
                      Error);
  };
  adamw_fails(x, x, x, h, {});  // moments of two types
  adamw_fails(x, x, x, x, make(DType::bf16, 5));
  adamw_fails(x, x, x, x, make(DType::f64));
  adamw_fails(h, make(DType::f64), make(DType::f64), make(DType::f64), {});
  adamw_fails(x, x, x, x, Tensor(cpu().device, DType::u16, Shape{6}));
  BOOST_CHECK_THROW(
      ops::sgd(cpu(), {.step = {}, .gradient = x, .value = x, .copy = make(DType::bf16, 5)}),
      Error);
  BOOST_CHECK_THROW(
      ops::sgd(cpu(), {.step = {}, .gradient = make(DType::f64), .value = x, .copy = h}),
      Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
