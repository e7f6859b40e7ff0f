// SPDX-License-Identifier: Apache-2.0
// Windows on host memory: slices of slices, and what is refused.
#include <numeric>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/tensor/tensor.hpp"

namespace trireme {
namespace {

struct Matrix {  // element (r, c) holds 100·r + c
  Matrix() : elements(5 * 8) {
    for (int r = 0; r < 5; ++r) {
      for (int c = 0; c < 8; ++c) {
        elements[static_cast<std::size_t>(r * 8 + c)] = static_cast<float>(100 * r + c);
      }
    }
  }
  View view() { return {elements.data(), DType::f32, Shape{5, 8}}; }
  std::vector<float> elements;
};

void check_window(const ConstView& v, int row, int col, std::int64_t rows, std::int64_t cols) {
  BOOST_REQUIRE_EQUAL(v.rows(), rows);
  BOOST_REQUIRE_EQUAL(v.cols(), cols);
  BOOST_TEST(v.row_stride() == 8);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      BOOST_TEST(v.data<float>()[r * v.row_stride() + c] ==
                 static_cast<float>(100 * (row + r) + col + c));
    }
  }
}

BOOST_AUTO_TEST_CASE(slices_of_slices) {
  Matrix m;
  const View v = m.view();
  check_window(v, 0, 0, 5, 8);
  check_window(v.slice_rows(1, 3), 1, 0, 3, 8);
  check_window(v.slice_cols(2, 5), 0, 2, 5, 5);
  check_window(v.slice_rows(1, 3).slice_cols(2, 5).slice_rows(1, 2).slice_cols(3, 2), 2, 5, 2,
               2);
  const ConstView c = v;
  check_window(c.slice_cols(6, 2).slice_rows(4, 1), 4, 6, 1, 2);
}

BOOST_AUTO_TEST_CASE(writing_reaches_the_owner) {
  Matrix m;
  m.view().slice_rows(3, 1).slice_cols(4, 2).data<float>()[1] = -1;
  BOOST_TEST(m.elements[3 * 8 + 5] == -1.0F);
}

BOOST_AUTO_TEST_CASE(contiguity_and_size) {
  Matrix m;
  const View v = m.view();
  BOOST_TEST(v.contiguous());
  BOOST_TEST(v.bytes() == 160U);
  BOOST_TEST(v.slice_rows(2, 2).contiguous());
  BOOST_TEST(!v.slice_cols(0, 7).contiguous());
  BOOST_TEST(v.slice_cols(0, 7).slice_rows(0, 1).contiguous());  // one row has no gap
  BOOST_TEST(v.slice_cols(0, 7).bytes() == 140U);
  BOOST_TEST(!v.empty());
  BOOST_TEST(v.slice_rows(5, 0).empty());
  BOOST_TEST(View().empty());
}

BOOST_AUTO_TEST_CASE(more_axes_are_rows) {
  std::vector<double> memory(24);
  std::iota(memory.begin(), memory.end(), 0.0);
  const View v(memory.data(), DType::f64, Shape{2, 3, 4});
  BOOST_TEST(v.rows() == 6);
  const View s = v.slice_rows(4, 2);
  BOOST_TEST((s.shape() == Shape{2, 4}));
  BOOST_TEST(s.data<double>()[0] == 16.0);
  const View flat = v.reshape(Shape{24});
  BOOST_TEST(flat.cols() == 24);
  BOOST_TEST(flat.data<double>()[23] == 23.0);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused) {
  Matrix m;
  const View v = m.view();
  BOOST_CHECK_THROW((void)v.slice_rows(3, 3), Error);
  BOOST_CHECK_THROW((void)v.slice_rows(-1, 2), Error);
  BOOST_CHECK_THROW((void)v.slice_rows(0, -1), Error);
  BOOST_CHECK_THROW((void)v.slice_cols(8, 1), Error);
  BOOST_CHECK_THROW((void)v.slice_cols(-1, 1), Error);
  BOOST_CHECK_THROW((void)v.reshape(Shape{39}), Error);
  BOOST_CHECK_THROW((void)v.slice_cols(0, 4).reshape(Shape{20}), Error);
  BOOST_CHECK_THROW((void)v.data<double>(), Error);
  const ConstView c = v;
  BOOST_CHECK_THROW((void)c.data<std::int32_t>(), Error);
  BOOST_CHECK_THROW((void)Tensor().view(), Error);
}

}  // namespace
}  // namespace trireme
