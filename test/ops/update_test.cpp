// SPDX-License-Identifier: Apache-2.0
// AdamW, SGD and the rules of elements against the published loops, five steps long.
#include "trireme/ops/update.hpp"

#include <array>
#include <string>

#include <boost/test/unit_test.hpp>

#include "trireme/ops/element_rules.hpp"

#include "numerics.hpp"

namespace trireme::test {
namespace {

constexpr int kSteps = 5;

Host gradient_of_step(std::int64_t n, int step) {
  return random_host(1, n, "gradient" + std::to_string(step), 2);
}

/// Value, first and second moment after kSteps of the formula, written as in the paper.
std::array<Host, 3> adamw_by_hand(const AdamwStep& s, std::int64_t n) {
  Host theta = random_host(1, n, "theta");
  Host m = Host::Zero(1, n);
  Host v = Host::Zero(1, n);
  for (int t = 1; t <= kSteps; ++t) {
    const Host g = s.gradient_scale * gradient_of_step(n, t);
    for (std::int64_t i = 0; i < n; ++i) {
      m(i) = s.beta1 * m(i) + (1 - s.beta1) * g(i);
      v(i) = s.beta2 * v(i) + (1 - s.beta2) * g(i) * g(i);
      const double m_hat = m(i) / (1 - std::pow(s.beta1, t));
      const double v_hat = v(i) / (1 - std::pow(s.beta2, t));
      theta(i) -= s.lr * s.weight_decay * theta(i);
      theta(i) -= s.lr * m_hat / (std::sqrt(v_hat) + s.epsilon);
    }
  }
  return {theta, m, v};
}

std::array<Tensor, 3> adamw(const AdamwStep& s, std::int64_t n, DType type) {
  const std::array<Tensor, 3> state = {random(type, Shape{n}, "theta"),
                                       filled(type, Shape{n}, 0), filled(type, Shape{n}, 0)};
  for (int t = 1; t <= kSteps; ++t) {
    const Tensor g = filled(type, Shape{n}, 0);
    assign(g, gradient_of_step(n, t));
    AdamwStep step = s;
    step.step = t;
    ops::adamw(cpu(), {.step = step,
                       .gradient = g,
                       .value = state[0],
                       .exp_avg = state[1],
                       .exp_avg_sq = state[2]});
  }
  return state;
}

std::array<Host, 2> sgd_by_hand(const SgdStep& s, std::int64_t n) {
  Host theta = random_host(1, n, "theta");
  Host b = Host::Zero(1, n);
  for (int t = 1; t <= kSteps; ++t) {
    const Host g = s.gradient_scale * gradient_of_step(n, t) + s.weight_decay * theta;
    b = s.momentum * b + g;
    theta -= s.lr * b;
  }
  return {theta, b};
}

std::array<Tensor, 2> sgd(const SgdStep& s, std::int64_t n, DType type) {
  const std::array<Tensor, 2> state = {random(type, Shape{n}, "theta"),
                                       filled(type, Shape{n}, 0)};
  for (int t = 1; t <= kSteps; ++t) {
    const Tensor g = filled(type, Shape{n}, 0);
    assign(g, gradient_of_step(n, t));
    ops::sgd(cpu(), {.step = s,
                     .gradient = g,
                     .value = state[0],
                     .momentum = s.momentum == 0 ? View() : View(state[1])});
  }
  return state;
}

/// Rules of elements, written as in the papers and in GPT-NeoX.
Host element_by_hand(const ElementStep& s, std::int64_t n) {
  Host theta = random_host(1, n, "theta");
  const Host start = theta;
  Host a = Host::Constant(1, n, s.rule == ElementRule::adagrad ? s.initial : 0);
  Host b = Host::Zero(1, n);
  for (int t = 1; t <= kSteps; ++t) {
    const Host g = s.gradient_scale * gradient_of_step(n, t);
    for (std::int64_t i = 0; i < n; ++i) {
      double& x = theta(i);
      if (s.rule == ElementRule::lion) {
        const double c = s.beta1 * a(i) + (1 - s.beta1) * g(i);
        x -= s.lr * ((c > 0 ? 1 : c < 0 ? -1 : 0) + s.weight_decay * x);
        a(i) = s.beta2 * a(i) + (1 - s.beta2) * g(i);
      } else if (s.rule == ElementRule::adagrad) {
        const double d = g(i) + s.weight_decay * x;
        a(i) += d * d;
        x -= s.lr / (1 + (t - 1) * s.lr_decay) * d / (std::sqrt(a(i)) + s.epsilon);
      } else {
        const double eta = s.lr + s.epsilon;
        x *= 1 - eta * s.weight_decay;
        const double from =
            s.momentum == 0 ? x + b(i) / (std::cbrt(a(i)) + s.epsilon) : start(i);
        a(i) += eta * std::sqrt(t) * g(i) * g(i);
        b(i) += eta * std::sqrt(t) * g(i);
        x = s.momentum * x + (1 - s.momentum) * (from - b(i) / (std::cbrt(a(i)) + s.epsilon));
      }
    }
  }
  return theta;
}

Tensor element(const ElementStep& s, std::int64_t n, DType type) {
  const Tensor theta = random(type, Shape{n}, "theta");
  std::array<Tensor, 3> state;
  for (Tensor& x : state) x = filled(type, Shape{n}, 0);
  for (int t = 1; t <= kSteps; ++t) {
    const Tensor g = filled(type, Shape{n}, 0);
    assign(g, gradient_of_step(n, t));
    ElementStep step = s;
    step.step = t;
    ops::element_update(cpu(), {.step = step,
                                .gradient = g,
                                .value = theta,
                                .first = state[0],
                                .second = states_of(s) > 1 ? View(state[1]) : View(),
                                .third = states_of(s) > 2 ? View(state[2]) : View()});
  }
  return theta;
}

const std::array kElements = {ElementStep{.rule = ElementRule::lion,
                                          .lr = 1e-2,
                                          .beta1 = 0.9,
                                          .beta2 = 0.99,
                                          .weight_decay = 0.3,
                                          .gradient_scale = 0.5},
                              ElementStep{.rule = ElementRule::adagrad,
                                          .lr = 1e-1,
                                          .epsilon = 1e-6,
                                          .weight_decay = 0.1,
                                          .lr_decay = 0.3,
                                          .initial = 0.2},
                              ElementStep{.rule = ElementRule::madgrad,
                                          .lr = 1e-2,
                                          .momentum = 0.9,
                                          .epsilon = 1e-3,
                                          .weight_decay = 0.5,
                                          .gradient_scale = 3},
                              ElementStep{.rule = ElementRule::madgrad,
                                          .lr = 1e-2,
                                          .momentum = 0,
                                          .epsilon = 1e-3,
                                          .weight_decay = 0.5}};

const std::array kAdamw = {
    AdamwStep{.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1},
    AdamwStep{.lr = 3e-1, .beta1 = 0.5, .beta2 = 0.999, .epsilon = 1e-1, .gradient_scale = 0.3},
    AdamwStep{.lr = 1e-1, .beta1 = 0, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 1}};
const std::array kSgd = {
    SgdStep{.lr = 1e-2, .momentum = 0.9, .weight_decay = 0.1, .gradient_scale = 1},
    SgdStep{.lr = 1e-1, .momentum = 0, .weight_decay = 0, .gradient_scale = 1},
    SgdStep{.lr = 3e-1, .momentum = 0.5, .weight_decay = 0.3, .gradient_scale = 0.2}};

}  // namespace

BOOST_AUTO_TEST_SUITE(update)

BOOST_AUTO_TEST_CASE(adamw_follows_the_paper) {
  for (const AdamwStep& step : kAdamw) {
    for (const std::int64_t n : {1, 3, 17, 40001}) {
      const auto expected = adamw_by_hand(step, n);
      for (const DType type : {DType::f32, DType::f64}) {
        const auto state = adamw(step, n, type);
        for (std::size_t i = 0; i < state.size(); ++i) {
          BOOST_TEST_CONTEXT(name_of(type) << " " << n << ", array " << i) {
            BOOST_TEST(relative_error(state[i], expected[i]) <
                       (type == DType::f64 ? 1e-12 : 2e-6));
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(adamw_without_gradient_only_decays) {
  const Tensor theta = random(DType::f64, Shape{9}, "theta");
  const Tensor zero = filled(DType::f64, Shape{9}, 0);
  const Tensor m = filled(DType::f64, Shape{9}, 0);
  const Tensor v = filled(DType::f64, Shape{9}, 0);
  const Host before = host(theta);
  ops::adamw(
      cpu(),
      {.step = kAdamw[0], .gradient = zero, .value = theta, .exp_avg = m, .exp_avg_sq = v});
  BOOST_TEST(relative_error(theta, before * (1 - 1e-2 * 0.1)) < 1e-15);
}

BOOST_AUTO_TEST_CASE(sgd_follows_its_formula) {
  for (const SgdStep& step : kSgd) {
    for (const std::int64_t n : {1, 3, 17, 40001}) {
      const auto expected = sgd_by_hand(step, n);
      for (const DType type : {DType::f32, DType::f64}) {
        const auto state = sgd(step, n, type);
        const double bound = type == DType::f64 ? 1e-12 : 2e-6;
        BOOST_TEST(relative_error(state[0], expected[0]) < bound);
        if (step.momentum != 0) BOOST_TEST(relative_error(state[1], expected[1]) < bound);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(rules_of_elements_follow_their_formulas) {
  for (const ElementStep& step : kElements) {
    for (const std::int64_t n : {1, 3, 17, 5001}) {
      const Host expected = element_by_hand(step, n);
      BOOST_TEST_CONTEXT("rule " << static_cast<int>(step.rule) << ", " << n) {
        BOOST_TEST(relative_error(element(step, n, DType::f64), expected) < 1e-12);
        BOOST_TEST(relative_error(element(step, n, DType::f32), expected) < 5e-6);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_span_cut_in_two_gives_the_same_bits) {
  // ZeRO updates each rank's piece by itself; pieces begin anywhere.
  const std::int64_t n = 1001;
  const Tensor g = random(DType::f32, Shape{n}, "g");
  const auto run = [&](std::int64_t cut) {
    Tensor theta = random(DType::f32, Shape{n, 1}, "theta");
    const Tensor m = random(DType::f32, Shape{n, 1}, "m");
    const Tensor v = filled(DType::f32, Shape{n, 1}, 0.5);
    const View gradient = g.view().reshape(Shape{n, 1});
    for (const auto& [at, size] : {std::array<std::int64_t, 2>{0, cut}, {cut, n - cut}}) {
      if (size == 0) continue;
      ops::adamw(cpu(), {.step = kAdamw[0],
                         .gradient = gradient.slice_rows(at, size),
                         .value = theta.view().slice_rows(at, size),
                         .exp_avg = m.view().slice_rows(at, size),
                         .exp_avg_sq = v.view().slice_rows(at, size)});
    }
    return theta;
  };
  const Tensor whole = run(n);
  for (const std::int64_t cut : {1, 7, 500, 1000}) BOOST_TEST(same_bits(run(cut), whole));
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  const std::int64_t n = 100003;
  BOOST_TEST(same_on_any_threads([&] { return adamw(kAdamw[0], n, DType::f32)[0]; }));
  BOOST_TEST(same_on_any_threads([&] { return adamw(kAdamw[0], n, DType::f32)[2]; }));
  BOOST_TEST(same_on_any_threads([&] { return sgd(kSgd[0], n, DType::f32)[0]; }));
  for (const ElementStep& step : kElements) {
    BOOST_TEST(same_on_any_threads([&] { return element(step, n, DType::f32); }));
  }
}

BOOST_AUTO_TEST_CASE(refuses_what_does_not_fit) {
  const Tensor x = random(DType::f32, Shape{6}, "x");
  const Tensor shorter = random(DType::f32, Shape{5}, "x");
  const Tensor x64 = random(DType::f64, Shape{6}, "x");
  const Tensor wide = random(DType::f32, Shape{6, 2}, "x");
  const View strided = wide.view().slice_cols(0, 1);
  AdamwStep zeroth = kAdamw[0];
  zeroth.step = 0;
  BOOST_CHECK_THROW(
      ops::adamw(cpu(),
                 {.step = zeroth, .gradient = x, .value = x, .exp_avg = x, .exp_avg_sq = x}),
      Error);
  for (const View& bad : {View(shorter), View(x64), strided}) {
    BOOST_CHECK_THROW(
        ops::adamw(
            cpu(),
            {.step = kAdamw[0], .gradient = bad, .value = x, .exp_avg = x, .exp_avg_sq = x}),
        Error);
    BOOST_CHECK_THROW(
        ops::adamw(
            cpu(),
            {.step = kAdamw[0], .gradient = x, .value = bad, .exp_avg = x, .exp_avg_sq = x}),
        Error);
    BOOST_CHECK_THROW(
        ops::adamw(
            cpu(),
            {.step = kAdamw[0], .gradient = x, .value = x, .exp_avg = bad, .exp_avg_sq = x}),
        Error);
    BOOST_CHECK_THROW(
        ops::adamw(
            cpu(),
            {.step = kAdamw[0], .gradient = x, .value = x, .exp_avg = x, .exp_avg_sq = bad}),
        Error);
    BOOST_CHECK_THROW(
        ops::element_update(cpu(),
                            {.step = kElements[0], .gradient = x, .value = x, .first = bad}),
        Error);
    BOOST_CHECK_THROW(
        ops::sgd(cpu(), {.step = kSgd[0], .gradient = bad, .value = x, .momentum = x}), Error);
    BOOST_CHECK_THROW(
        ops::sgd(cpu(), {.step = kSgd[0], .gradient = x, .value = bad, .momentum = x}), Error);
    BOOST_CHECK_THROW(
        ops::sgd(cpu(), {.step = kSgd[0], .gradient = x, .value = x, .momentum = bad}), Error);
  }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
