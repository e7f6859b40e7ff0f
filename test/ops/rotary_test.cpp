// SPDX-License-Identifier: Apache-2.0
// Rotary embedding (declared in attention.hpp) against its formula, its inverse and its
// adjoint.

#include <boost/test/unit_test.hpp>

#include "trireme/ops/attention.hpp"

#include "numerics.hpp"

namespace trireme::test {
namespace {

const AttentionShape kShape{2, 7, 2, 3, 20, 0};  // 2 sequences of 7, 2 groups of 3 + 2 × 20

/// One token's head after the rotation for `position`.
void rotate(Eigen::Ref<Eigen::RowVectorXd> x, std::int64_t position, std::int64_t dim,
            double base) {
  const std::int64_t half = dim / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) *
                         std::pow(base, -2 * static_cast<double>(i) / static_cast<double>(dim));
    const double a = x(i);
    const double b = x(half + i);
    x(i) = a * std::cos(angle) - b * std::sin(angle);
    x(half + i) = b * std::cos(angle) + a * std::sin(angle);
  }
}

Host rotated_by_hand(Host qkv, const AttentionShape& s, std::int64_t dim, double base) {
  for (std::int64_t r = 0; r < qkv.rows(); ++r) {
    for (std::int64_t g = 0; g < s.kv_heads; ++g) {
      for (std::int64_t h = 0; h < s.queries_per_kv + 1; ++h) {
        Eigen::RowVectorXd head =
            qkv.row(r).segment(g * s.group_width() + h * s.head_dim, s.head_dim);
        rotate(head, r % s.seq, dim, base);
        qkv.row(r).segment(g * s.group_width() + h * s.head_dim, s.head_dim) = head;
      }
    }
  }
  return qkv;
}

Tensor rotated(const ConstView& qkv, const ConstView& table, bool inverse = false) {
  Tensor t = clone(qkv);
  ops::rotary(cpu(), {.shape = kShape, .qkv = t, .table = table, .inverse = inverse});
  return t;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(rotary)

BOOST_AUTO_TEST_CASE(table_holds_cosines_and_sines) {
  const Tensor t =
      ops::rotary_table(cpu(), {.dtype = DType::f64, .seq = 9, .rotary_dim = 6, .base = 100});
  BOOST_TEST((t.shape() == Shape{9, 6}));
  const Host h = host(t);
  for (int p = 0; p < 9; ++p) {
    for (int i = 0; i < 3; ++i) {
      const double angle = p / std::pow(100.0, 2 * i / 6.0);
      BOOST_TEST(std::abs(h(p, i) - std::cos(angle)) < 1e-14);
      BOOST_TEST(std::abs(h(p, 3 + i) - std::sin(angle)) < 1e-14);
    }
  }
  // Angles of far positions are found in fp64 also for an fp32 table.
  const Tensor single = ops::rotary_table(
      cpu(), {.dtype = DType::f32, .seq = 100001, .rotary_dim = 2, .base = 10000});
  BOOST_TEST(std::abs(host(single)(100000, 0) - std::cos(1e5)) < 1e-7);
}

BOOST_AUTO_TEST_CASE(positions_choose_the_angles) {
  const Tensor table =
      ops::rotary_table(cpu(), {.dtype = DType::f64, .seq = 11, .rotary_dim = 6, .base = 1000});
  const Tensor qkv = random(DType::f64, Shape{14, kShape.row_width()}, "qkv");
  const Tensor positions = cpu().make(DType::i32, Shape{14});
  for (std::int32_t r = 0; r < 14; ++r) positions.data<std::int32_t>()[r] = r % 7 % 4;
  const Tensor got = clone(qkv);
  ops::rotary(cpu(), {.shape = kShape, .qkv = got, .table = table, .positions = positions});
  for (std::int64_t r = 0; r < 14; ++r) {
    // A row at the wanted place of a sequence has the same angles.
    const std::int64_t place = r % 7 % 4;
    const Tensor moved = clone(qkv);
    assign(moved.view().slice_rows(place, 1), host(qkv).row(r));
    const Host expected = host(rotated(moved, table)).row(place);
    BOOST_TEST(relative_error(host(got).row(r), expected) < 1e-14);
  }
}

BOOST_AUTO_TEST_CASE(equals_the_formula) {
  for (const std::int64_t dim : {2, 6, 20}) {
    for (const DType type : {DType::f32, DType::f64}) {
      const Tensor table =
          ops::rotary_table(cpu(), {.dtype = type, .seq = 11, .rotary_dim = dim, .base = 1000});
      const Tensor wide = filled(type, Shape{14, kShape.row_width() + 5}, 777);
      const View qkv = wide.view().slice_cols(2, kShape.row_width());
      assign(qkv, random_host(14, kShape.row_width(), "qkv"));
      Host expected = host(wide);
      expected.middleCols(2, kShape.row_width()) =
          rotated_by_hand(host(qkv), kShape, dim, 1000);
      ops::rotary(cpu(), {.shape = kShape, .qkv = qkv, .table = table});
      BOOST_TEST((host(wide) - expected).cwiseAbs().maxCoeff() <
                 (type == DType::f64 ? 1e-14 : 1e-6));
    }
  }
}

BOOST_AUTO_TEST_CASE(inverse_undoes_and_is_the_adjoint) {
  const Tensor table = ops::rotary_table(
      cpu(), {.dtype = DType::f64, .seq = 7, .rotary_dim = 10, .base = 10000});
  const Tensor x = random(DType::f64, Shape{14, kShape.row_width()}, "x");
  const Tensor y = random(DType::f64, Shape{14, kShape.row_width()}, "y");
  const Tensor forth = rotated(x, table);
  BOOST_TEST(relative_error(forth, host(x)) > 0.1);
  BOOST_TEST(relative_error(rotated(forth, table, true), host(x)) < 1e-15);
  BOOST_TEST(std::abs(inner(forth, y) - inner(x, rotated(y, table, true))) < 1e-12);
  const auto loss = [&] { return inner(rotated(x, table), y); };
  BOOST_TEST(gradient_error(x, rotated(y, table, true), loss, 200) < 1e-8);
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  const AttentionShape s{3, 65, 2, 1, 64, 0};
  const Tensor table = ops::rotary_table(
      cpu(), {.dtype = DType::f32, .seq = 65, .rotary_dim = 16, .base = 10000});
  BOOST_TEST(same_on_any_threads([&] {
    Tensor x = random(DType::f32, Shape{195, s.row_width()}, "x");
    ops::rotary(cpu(), {.shape = s, .qkv = x, .table = table});
    return x;
  }));
}

BOOST_AUTO_TEST_CASE(refuses_what_does_not_fit) {
  const Tensor x = random(DType::f32, Shape{14, kShape.row_width()}, "x");
  const auto fails = [&](const View& qkv, DType type, std::int64_t seq, std::int64_t dim) {
    const Tensor table =
        ops::rotary_table(cpu(), {.dtype = type, .seq = seq, .rotary_dim = dim, .base = 100});
    BOOST_CHECK_THROW(ops::rotary(cpu(), {.shape = kShape, .qkv = qkv, .table = table}), Error);
  };
  BOOST_CHECK_THROW((void)ops::rotary_table(
                        cpu(), {.dtype = DType::f32, .seq = 7, .rotary_dim = 5, .base = 100}),
                    Error);
  BOOST_CHECK_THROW((void)ops::rotary_table(
                        cpu(), {.dtype = DType::i32, .seq = 7, .rotary_dim = 4, .base = 100}),
                    Error);
  fails(x, DType::f32, 6, 10);
  fails(x, DType::f32, 7, 22);
  fails(x, DType::f64, 7, 10);
  fails(x.view().slice_rows(0, 13), DType::f32, 7, 10);
  fails(x.view().slice_cols(0, 10), DType::f32, 7, 10);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
