// SPDX-License-Identifier: Apache-2.0
// Rows of tables by id and by position: bit for bit the plain loops.
#include "trireme/ops/embedding.hpp"

#include <array>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "numerics.hpp"

namespace trireme::test {
namespace {

constexpr std::array kTypes = {DType::f32, DType::f64};

Tensor ids_of(const std::vector<std::int32_t>& ids) {
  Tensor t = cpu().make(DType::i32, Shape{std::ssize(ids)});
  std::copy(ids.begin(), ids.end(), t.data<std::int32_t>());
  return t;
}

/// n ids in [0, below), many of them repeated.
Tensor random_ids(std::int64_t n, int below) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto w = philox({11, 0}, static_cast<std::uint64_t>(i));
    ids.push_back(static_cast<std::int32_t>(w[0] % static_cast<unsigned>(below)));
  }
  return ids_of(ids);
}

/// to[to_row] += from[from_row] in the arrays' own type.
void add_row(const View& to, std::int64_t to_row, const ConstView& from,
             std::int64_t from_row) {
  by_float(to.dtype(), [&]<class T>(T) {
    for (std::int64_t c = 0; c < to.cols(); ++c) {
      to.data<T>()[to_row * to.row_stride() + c] +=
          from.data<T>()[from_row * from.row_stride() + c];
    }
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(embedding)

BOOST_AUTO_TEST_CASE(takes_rows_and_zeros_outside) {
  for (const DType type : kTypes) {
    for (const std::int64_t h : {1, 3, 65}) {
      const Tensor wide_table = random(type, Shape{10, h + 4}, "table");
      const ConstView table = wide_table.view().slice_cols(1, h);
      const Tensor ids = ids_of({100, 109, 99, 110, 104, 104, 0, 2000000000, 105});
      const Tensor wide_y = filled(type, Shape{9, h + 2}, 777);
      ops::embedding_forward(
          cpu(),
          {.ids = ids, .table = table, .first_row = 100, .y = wide_y.view().slice_cols(1, h)});
      Host expected = Host::Constant(9, h + 2, 777);
      const std::array<int, 9> rows = {0, 9, -1, -1, 4, 4, -1, -1, 5};
      for (int i = 0; i < 9; ++i) {
        const int row = rows[static_cast<std::size_t>(i)];
        expected.block(i, 1, 1, h).setZero();
        if (row >= 0) expected.block(i, 1, 1, h) = host(table).row(row);
      }
      BOOST_TEST((host(wide_y) == expected));
    }
  }
}

BOOST_AUTO_TEST_CASE(gradient_is_summed_in_the_order_of_ids) {
  for (const DType type : kTypes) {
    for (const std::int64_t h : {1, 3, 65}) {
      const Tensor ids = random_ids(500, 23);
      const Tensor dy = random(type, Shape{500, h}, "dy");
      const Tensor dtable = random(type, Shape{8, h}, "dtable");
      const Tensor expected = clone(dtable);
      for (std::int64_t i = 0; i < 500; ++i) {
        const std::int64_t row = ids.data<std::int32_t>()[i] - 7;
        if (row >= 0 && row < 8) add_row(expected, row, dy, i);
      }
      ops::embedding_backward(cpu(), {.ids = ids, .dy = dy, .first_row = 7, .dtable = dtable});
      BOOST_TEST(same_bits(dtable, expected));
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients) {
  const Tensor table = random(DType::f64, Shape{6, 5}, "table");
  const Tensor ids = ids_of({3, 9, 4, 4, 2, 4, 8});
  const Tensor y = poisoned(DType::f64, Shape{7, 5});
  const Tensor dy = random(DType::f64, Shape{7, 5}, "dy");
  const Tensor dtable = filled(DType::f64, Shape{6, 5}, 0);
  ops::embedding_backward(cpu(), {.ids = ids, .dy = dy, .first_row = 3, .dtable = dtable});
  const auto loss = [&] {
    ops::embedding_forward(cpu(), {.ids = ids, .table = table, .first_row = 3, .y = y});
    return inner(y, dy);
  };
  BOOST_TEST(gradient_error(table, dtable, loss) < 1e-8);
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  const Tensor ids = random_ids(2000, 50);
  const Tensor dy = random(DType::f32, Shape{2000, 70}, "dy");
  const Tensor table = random(DType::f32, Shape{50, 70}, "table");
  BOOST_TEST(same_on_any_threads([&] {
    Tensor y = poisoned(DType::f32, Shape{2000, 70});
    ops::embedding_forward(cpu(), {.ids = ids, .table = table, .first_row = 0, .y = y});
    return y;
  }));
  BOOST_TEST(same_on_any_threads([&] {
    Tensor dtable = filled(DType::f32, Shape{50, 70}, 0.5);
    ops::embedding_backward(cpu(), {.ids = ids, .dy = dy, .first_row = 0, .dtable = dtable});
    return dtable;
  }));
}

BOOST_AUTO_TEST_CASE(refuses_what_does_not_fit) {
  const Tensor ids = ids_of({0, 1, 2});
  const Tensor table = random(DType::f32, Shape{4, 5}, "table");
  const Tensor y = random(DType::f32, Shape{3, 5}, "y");
  const Tensor y64 = random(DType::f64, Shape{3, 5}, "y");
  const Tensor float_ids = random(DType::f32, Shape{3}, "ids");
  const auto fails = [&](const ConstView& i, const View& t, const View& out) {
    BOOST_CHECK_THROW(
        ops::embedding_forward(cpu(), {.ids = i, .table = t, .first_row = 0, .y = out}), Error);
    BOOST_CHECK_THROW(
        ops::embedding_backward(cpu(), {.ids = i, .dy = out, .first_row = 0, .dtable = t}),
        Error);
  };
  fails(ids, table, y.view().slice_rows(0, 2));
  fails(ids, table, y.view().slice_cols(0, 4));
  fails(float_ids, table, y);
  fails(ids, table, y64);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(positions)

BOOST_AUTO_TEST_CASE(adds_rows_by_position) {
  for (const DType type : kTypes) {
    for (const std::uint32_t first : {0U, 3U, 7U, 16U}) {
      const Tensor table = random(type, Shape{9, 5}, "table");
      const Tensor wide = random(type, Shape{20, 8}, "y");
      const Tensor expected = clone(wide);
      for (std::int64_t i = 0; i < 20; ++i) {
        add_row(expected.view().slice_cols(2, 5), i, table, (first + i) % 7);
      }
      ops::positions_forward(
          cpu(),
          {.table = table, .seq = 7, .first_row = first, .y = wide.view().slice_cols(2, 5)});
      BOOST_TEST(same_bits(wide, expected));
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients) {
  const Tensor table = random(DType::f64, Shape{9, 5}, "table");
  const Tensor dy = random(DType::f64, Shape{20, 5}, "dy");
  const Tensor start = random(DType::f64, Shape{9, 5}, "start");
  const Tensor dtable = clone(start);
  ops::positions_backward(cpu(), {.dy = dy, .seq = 7, .first_row = 3, .dtable = dtable});
  BOOST_TEST(same_bits(dtable.view().slice_rows(7, 2), start.view().slice_rows(7, 2)));
  assign(dtable, host(dtable) - host(start));
  const auto loss = [&] {
    const Tensor y = filled(DType::f64, Shape{20, 5}, 0);
    ops::positions_forward(cpu(), {.table = table, .seq = 7, .first_row = 3, .y = y});
    return inner(y, dy);
  };
  BOOST_TEST(gradient_error(table, dtable, loss) < 1e-8);
}

BOOST_AUTO_TEST_CASE(same_bits_on_any_threads) {
  const Tensor dy = random(DType::f32, Shape{1500, 40}, "dy");
  BOOST_TEST(same_on_any_threads([&] {
    Tensor dtable = filled(DType::f32, Shape{50, 40}, 0.5);
    ops::positions_backward(cpu(), {.dy = dy, .seq = 50, .first_row = 20, .dtable = dtable});
    return dtable;
  }));
}

BOOST_AUTO_TEST_CASE(refuses_what_does_not_fit) {
  const Tensor table = random(DType::f32, Shape{4, 5}, "table");
  const Tensor y = random(DType::f32, Shape{10, 5}, "y");
  const Tensor y64 = random(DType::f64, Shape{10, 5}, "y");
  const auto fails = [&](std::int64_t seq, const View& out) {
    BOOST_CHECK_THROW(
        ops::positions_forward(cpu(), {.table = table, .seq = seq, .first_row = 0, .y = out}),
        Error);
    BOOST_CHECK_THROW(ops::positions_backward(
                          cpu(), {.dy = out, .seq = seq, .first_row = 0, .dtable = table}),
                      Error);
  };
  fails(5, y);
  fails(0, y);
  fails(4, y.view().slice_cols(0, 4));
  fails(4, y64);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
