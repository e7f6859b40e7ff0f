// SPDX-License-Identifier: Apache-2.0
// The cut cross-entropy, whole and in three uneven parts whose reductions are done here.
#include "trireme/ops/cross_entropy.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "numerics.hpp"

namespace trireme::test {
namespace {

Tensor targets_of(std::int64_t rows, std::int64_t vocabulary) {
  Tensor t = cpu().make(DType::i32, Shape{rows});
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto w = philox({2, 0}, static_cast<std::uint64_t>(r))[0];
    t.data<std::int32_t>()[r] =
        static_cast<std::int32_t>(w % static_cast<unsigned>(vocabulary));
  }
  // First and last columns, where off-by-ones live.
  t.data<std::int32_t>()[0] = static_cast<std::int32_t>(vocabulary - 1);
  if (rows > 1) t.data<std::int32_t>()[1] = 0;
  return t;
}

struct Result {
  double loss = 0;
  Host gradient;
  double counted = 0;
};

Result by_hand(const Host& z, const ConstView& targets, double scale, double smoothing = 0) {
  Result result;
  result.gradient.resize(z.rows(), z.cols());
  for (std::int64_t r = 0; r < z.rows(); ++r) {
    const double max = z.row(r).maxCoeff();
    double sum = 0;
    for (std::int64_t c = 0; c < z.cols(); ++c) sum += std::exp(z(r, c) - max);
    const std::int64_t target = targets.data<std::int32_t>()[r];
    result.loss +=
        std::log(sum) + max - (1 - smoothing) * z(r, target) - smoothing * z.row(r).mean();
    for (std::int64_t c = 0; c < z.cols(); ++c) {
      const double p = std::exp(z(r, c) - max) / sum;
      const double wanted =
          (c == target ? 1 - smoothing : 0) + smoothing / static_cast<double>(z.cols());
      result.gradient(r, c) = scale * (p - wanted);
    }
  }
  return result;
}

/// What one rank holds.
struct Part {
  std::int64_t first;
  Tensor logits;
  Tensor max;
  Tensor sum;
  Tensor picked;
};

/// ranks[i] ← op over all i, as an all-reduce leaves it.
template <class F>
void all_reduce(std::vector<Part>& parts, Tensor Part::*what, F&& op) {
  Host result = host(parts[0].*what);
  for (std::size_t i = 1; i < parts.size(); ++i) result = op(result, host(parts[i].*what));
  for (Part& p : parts) assign(p.*what, result);
}

/// Loss and gradient with the columns cut at `cuts`.
Result cut(const Host& z, const ConstView& targets, const std::vector<std::int64_t>& cuts,
           DType type, double scale, double smoothing = 0) {
  const ops::LabelSmoothing smoothed{smoothing, z.cols()};
  std::vector<Part> parts;
  const Shape rows{z.rows()};
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    Part p{cuts[i], cpu().make(type, Shape{z.rows(), cuts[i + 1] - cuts[i]}),
           poisoned(type, rows), poisoned(type, rows), poisoned(type, rows)};
    assign(p.logits, z.middleCols(p.first, p.logits.cols()));
    ops::softmax_local(cpu(), {.logits = p.logits,
                               .targets = targets,
                               .first_column = p.first,
                               .max = p.max,
                               .sum = p.sum,
                               .picked = p.picked,
                               .smoothing = smoothed});
    parts.push_back(p);
  }
  Host global = host(parts[0].max);
  for (const Part& p : parts) global = global.cwiseMax(host(p.max));
  const Tensor global_max = cpu().make(type, rows);
  assign(global_max, global);
  for (Part& p : parts) {
    ops::softmax_rescale(cpu(), {.global_max = global_max,
                                 .targets = targets,
                                 .first_column = p.first,
                                 .columns = p.logits.cols(),
                                 .max = p.max,
                                 .sum = p.sum,
                                 .picked = p.picked,
                                 .smoothing = smoothed});
  }
  const auto plus = [](const Host& a, const Host& b) { return Host(a + b); };
  all_reduce(parts, &Part::sum, plus);
  all_reduce(parts, &Part::picked, plus);
  Result result;
  result.gradient.resize(z.rows(), z.cols());
  for (Part& p : parts) {
    const Tensor total = filled(DType::f64, Shape{1}, 100);
    const Tensor counted = filled(DType::f64, Shape{1}, 5);
    ops::softmax_loss(cpu(), {.sum = p.sum,
                              .picked = p.picked,
                              .targets = targets,
                              .total = total,
                              .counted = counted});
    result.counted = counted.data<double>()[0] - 5;
    ops::softmax_gradient(cpu(), {.exponentials = p.logits,
                                  .targets = targets,
                                  .first_column = p.first,
                                  .factor = p.max,
                                  .sum = p.sum,
                                  .scale = scale,
                                  .smoothing = smoothed});
    result.loss = total.data<double>()[0] - 100;  // the same on each rank
    result.gradient.middleCols(p.first, p.logits.cols()) = host(p.logits);
  }
  return result;
}

/// Loss and gradient in one call.
Result at_once(const Host& z, const ConstView& targets, DType type, double scale) {
  const Shape rows{z.rows()};
  const Tensor logits = cpu().make(type, Shape{z.rows(), z.cols()});
  assign(logits, z);
  const Tensor total = filled(DType::f64, Shape{1}, 100);
  const Tensor counted = filled(DType::f64, Shape{1}, 5);
  const Tensor half = filled(DType::f64, Shape{1}, 0.5);
  ops::softmax_loss_gradient(cpu(), {.logits = logits,
                                     .targets = targets,
                                     .max = poisoned(type, rows),
                                     .sum = poisoned(type, rows),
                                     .picked = poisoned(type, rows),
                                     .total = total,
                                     .counted = counted,
                                     .scale = 2 * scale,
                                     .scale_too = half});
  return {total.data<double>()[0] - 100, host(logits), counted.data<double>()[0] - 5};
}

const std::vector<std::vector<std::int64_t>>& layouts() {
  static const std::vector<std::vector<std::int64_t>> all = {
      {0, 301}, {0, 7, 8, 301}, {0, 150, 300, 301}};
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cross_entropy)

BOOST_AUTO_TEST_CASE(whole_and_cut_equal_the_formula) {
  for (const double size : {1.0, 30.0, 3000.0}) {
    const Host z = random_host(40, 301, "z", size);
    const Tensor targets = targets_of(40, 301);
    const Result expected = by_hand(z, targets, 0.7);
    for (const auto& cuts : layouts()) {
      for (const DType type : {DType::f32, DType::f64}) {
        const Result got = cut(z, targets, cuts, type, 0.7);
        const double bound = type == DType::f64 ? 1e-12 : 2e-6;
        BOOST_TEST_CONTEXT(name_of(type) << " size " << size << " first cut " << cuts[1]) {
          BOOST_TEST(std::abs(got.loss - expected.loss) < bound * expected.loss);
          BOOST_TEST(relative_error(got.gradient, expected.gradient) < bound);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(smoothed_labels_equal_the_formula) {
  const Host z = random_host(40, 301, "z", 5);
  const Tensor targets = targets_of(40, 301);
  const Result expected = by_hand(z, targets, 0.7, 0.1);
  for (const auto& cuts : layouts()) {
    for (const DType type : {DType::f32, DType::f64}) {
      const Result got = cut(z, targets, cuts, type, 0.7, 0.1);
      const double bound = type == DType::f64 ? 1e-12 : 2e-6;
      BOOST_TEST(std::abs(got.loss - expected.loss) < bound * expected.loss);
      BOOST_TEST(relative_error(got.gradient, expected.gradient) < bound);
    }
  }
  const Tensor bad = cpu().make(DType::f64, Shape{40});
  const Tensor logits = cpu().make(DType::f64, Shape{40, 301});
  BOOST_CHECK_THROW(ops::softmax_local(cpu(), {.logits = logits,
                                               .targets = targets,
                                               .first_column = 0,
                                               .max = bad,
                                               .sum = bad,
                                               .picked = bad,
                                               .smoothing = {1, 301}}),
                    Error);
}

BOOST_AUTO_TEST_CASE(loss_and_gradient_at_once_equal_the_formula) {
  for (const double size : {1.0, 3000.0}) {
    const Host z = random_host(40, 301, "z", size);
    const Tensor targets = targets_of(40, 301);
    const Result expected = by_hand(z, targets, 0.7);
    for (const DType type : {DType::f32, DType::f64}) {
      const Result got = at_once(z, targets, type, 0.7);
      const double bound = type == DType::f64 ? 1e-12 : 2e-6;
      BOOST_TEST(std::abs(got.loss - expected.loss) < bound * expected.loss);
      BOOST_TEST(relative_error(got.gradient, expected.gradient) < bound);
      BOOST_TEST(got.counted == 40);
    }
  }
}

BOOST_AUTO_TEST_CASE(awkward_sizes) {
  for (const auto& [rows, n] :
       {std::array<std::int64_t, 2>{1, 1}, {1, 2}, {3, 3}, {2, 5001}, {5000, 3}}) {
    const Host z = random_host(rows, n, "z", 5);
    const Tensor targets = targets_of(rows, n);
    const Result expected = by_hand(z, targets, 1);
    for (const DType type : {DType::f32, DType::f64}) {
      const Result got = cut(z, targets, {0, n}, type, 1);
      const double bound = type == DType::f64 ? 1e-12 : 2e-6;
      BOOST_TEST_CONTEXT(name_of(type) << " " << rows << " " << n) {
        BOOST_TEST(std::abs(got.loss - expected.loss) <= bound * expected.loss);
        BOOST_TEST(relative_error(got.gradient, expected.gradient) <= bound);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients) {
  const Tensor z = random(DType::f64, Shape{6, 31}, "z", 4);
  const Tensor targets = targets_of(6, 31);
  for (const auto& cuts : {std::vector<std::int64_t>{0, 31}, {0, 3, 20, 31}}) {
    const auto loss = [&] { return 0.3 * cut(host(z), targets, cuts, DType::f64, 0.3).loss; };
    const Tensor gradient = poisoned(DType::f64, Shape{6, 31});
    assign(gradient, cut(host(z), targets, cuts, DType::f64, 0.3).gradient);
    BOOST_TEST(gradient_error(z, gradient, loss) < 1e-8);
  }
}

BOOST_AUTO_TEST_CASE(windows_with_wide_rows) {
  const Tensor wide = filled(DType::f64, Shape{5, 40}, 777);
  const View z = wide.view().slice_cols(6, 21);
  assign(z, random_host(5, 21, "z", 4));
  const Tensor targets = targets_of(5, 21);
  const Result expected = by_hand(host(z), targets, 1);
  const Tensor max = poisoned(DType::f64, Shape{5});
  const Tensor sum = poisoned(DType::f64, Shape{5});
  const Tensor picked = poisoned(DType::f64, Shape{5});
  ops::softmax_local(cpu(), {.logits = z,
                             .targets = targets,
                             .first_column = 0,
                             .max = max,
                             .sum = sum,
                             .picked = picked});
  ops::softmax_rescale(cpu(), {.global_max = clone(max),
                               .targets = targets,
                               .first_column = 0,
                               .columns = 21,
                               .max = max,
                               .sum = sum,
                               .picked = picked});
  ops::softmax_gradient(cpu(), {.exponentials = z,
                                .targets = targets,
                                .first_column = 0,
                                .factor = max,
                                .sum = sum,
                                .scale = 1});
  BOOST_TEST(relative_error(z, expected.gradient) < 1e-13);
  BOOST_TEST((host(wide).leftCols(6).array() == 777).all());
  BOOST_TEST((host(wide).rightCols(13).array() == 777).all());
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  const Host z = random_host(60, 3001, "z", 4);
  const Tensor targets = targets_of(60, 3001);
  for (const auto& cuts : {std::vector<std::int64_t>{0, 3001}, {0, 1000, 1001, 3001}}) {
    BOOST_TEST(same_on_any_threads([&] {
      const Result r = cut(z, targets, cuts, DType::f32, 0.1);
      Tensor all = filled(DType::f64, Shape{61, 3001}, r.loss);
      assign(all.view().slice_rows(0, 60), r.gradient);
      return all;
    }));
  }
}

/// Arrays for four rows of six columns, and some that fit no row.
struct Arrays {
  Tensor z = random(DType::f32, Shape{4, 6}, "z");
  Tensor targets = targets_of(4, 6);
  Tensor v = random(DType::f32, Shape{4}, "v");
  Tensor total = filled(DType::f64, Shape{1}, 0);
  Tensor wide = random(DType::f32, Shape{4, 2}, "v");
  Tensor more = random(DType::f32, Shape{5}, "v");
  Tensor v64 = random(DType::f64, Shape{4}, "v");
  std::array<View, 3> bad = {more, v64, wide.view().slice_cols(0, 1)};
};

/// Expects an operation to be refused once a field is another array.
template <class Operation, class Field>
void refuses(void (*call)(const Exec&, const Operation&), Operation op, Field Operation::*field,
             const View& other) {
  op.*field = other;
  BOOST_CHECK_THROW(call(cpu(), op), Error);
}

BOOST_AUTO_TEST_CASE(rows_of_targets_below_0_do_not_count) {
  const Host z = random_host(40, 301, "z", 30);
  const Tensor all = targets_of(40, 301);
  const Tensor some = targets_of(40, 301);
  for (std::int64_t r = 0; r < 40; r += 3) some.data<std::int32_t>()[r] = -1;
  const Result expected = by_hand(z, all, 0.7);
  double loss = 0;
  for (const auto& cuts : layouts()) {
    for (const DType type : {DType::f64, DType::f32}) {
      const Result got = cut(z, some, cuts, type, 0.7);
      BOOST_TEST(got.counted == 26);
      for (std::int64_t r = 0; r < 40; ++r) {
        if (r % 3 == 0) {
          BOOST_TEST(got.gradient.row(r).cwiseAbs().maxCoeff() == 0);
        } else {
          BOOST_TEST(relative_error(got.gradient.row(r), expected.gradient.row(r)) < 2e-6);
        }
      }
      if (loss == 0) loss = got.loss;
      BOOST_TEST(std::abs(got.loss - loss) < 2e-6 * loss);
    }
  }
  Host rest(26, 301);
  Tensor targets = cpu().make(DType::i32, Shape{26});
  for (std::int64_t r = 0, to = 0; r < 40; ++r) {
    if (r % 3 == 0) continue;
    rest.row(to) = z.row(r);
    targets.data<std::int32_t>()[to++] = all.data<std::int32_t>()[r];
  }
  BOOST_TEST(std::abs(by_hand(rest, targets, 1).loss - loss) < 1e-12 * loss);
}

BOOST_AUTO_TEST_CASE(local_refuses_what_does_not_fit) {
  const Arrays a;
  using Operation = ops::SoftmaxLocal;
  const Operation sound{.logits = a.z,
                        .targets = a.targets,
                        .first_column = 0,
                        .max = a.v,
                        .sum = a.v,
                        .picked = a.v};
  refuses(ops::softmax_local, sound, &Operation::logits, cpu().make(DType::f32, Shape{4, 0}));
  refuses(ops::softmax_local, sound, &Operation::targets, a.v);
  refuses(ops::softmax_local, sound, &Operation::targets, targets_of(5, 6));
  for (const View& bad : a.bad) {
    for (const auto field : {&Operation::max, &Operation::sum, &Operation::picked}) {
      refuses(ops::softmax_local, sound, field, bad);
    }
  }
}

BOOST_AUTO_TEST_CASE(rescale_refuses_what_does_not_fit) {
  const Arrays a;
  using Operation = ops::SoftmaxRescale;
  const Operation sound{.global_max = a.v,
                        .targets = a.targets,
                        .first_column = 0,
                        .columns = 6,
                        .max = a.v,
                        .sum = a.v,
                        .picked = a.v};
  for (const View& bad : a.bad) {
    refuses(ops::softmax_rescale, sound, &Operation::global_max, bad);
    for (const auto field : {&Operation::max, &Operation::sum, &Operation::picked}) {
      refuses(ops::softmax_rescale, sound, field, bad);
    }
  }
}

BOOST_AUTO_TEST_CASE(loss_and_gradient_refuse_what_does_not_fit) {
  const Arrays a;
  using Loss = ops::SoftmaxLoss;
  using Gradient = ops::SoftmaxGradient;
  const Loss loss{
      .sum = a.v, .picked = a.v, .targets = a.targets, .total = a.total, .counted = a.total};
  const Gradient gradient{.exponentials = a.z,
                          .targets = a.targets,
                          .first_column = 0,
                          .factor = a.v,
                          .sum = a.v,
                          .scale = 1};
  for (const View& bad : a.bad) {
    refuses(ops::softmax_loss, loss, &Loss::sum, bad);
    refuses(ops::softmax_loss, loss, &Loss::picked, bad);
    refuses(ops::softmax_gradient, gradient, &Gradient::factor, bad);
    refuses(ops::softmax_gradient, gradient, &Gradient::sum, bad);
  }
  refuses(ops::softmax_loss, loss, &Loss::total, a.v);
  refuses(ops::softmax_loss, loss, &Loss::total, filled(DType::f64, Shape{2}, 0));
  refuses(ops::softmax_loss, loss, &Loss::counted, a.v);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
