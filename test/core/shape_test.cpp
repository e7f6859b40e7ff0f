// SPDX-License-Identifier: Apache-2.0
// Extents, and an array seen as a matrix.
#include "trireme/core/shape.hpp"

#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

namespace trireme {
namespace {

BOOST_AUTO_TEST_CASE(counts) {
  const Shape s{2, 3, 4};
  BOOST_TEST(s.rank() == 3);
  BOOST_TEST(s.count() == 24);
  BOOST_TEST(s.rows() == 6);
  BOOST_TEST(s.cols() == 4);
  BOOST_TEST(s.str() == "[2, 3, 4]");
  const Shape vector{5};
  BOOST_TEST(vector.rows() == 1);
  BOOST_TEST(vector.cols() == 5);
  const Shape scalar;
  BOOST_TEST(scalar.rank() == 0);
  BOOST_TEST(scalar.count() == 1);
  BOOST_TEST(scalar.rows() == 1);
  BOOST_TEST(scalar.cols() == 1);
  BOOST_TEST(scalar.str() == "[]");
  BOOST_TEST((Shape{4, 0, 3}).count() == 0);
  BOOST_TEST((Shape{1 << 20, 1 << 20}).count() == std::int64_t{1} << 40);
}

BOOST_AUTO_TEST_CASE(extents_can_be_read_changed_and_compared) {
  Shape s{2, 3};
  s[1] = 7;
  BOOST_TEST((s == Shape{2, 7}));
  BOOST_TEST((s != Shape{7, 2}));
  BOOST_TEST((Shape{2} != Shape{2, 0}));
  const std::vector<std::int64_t> extents(s.extents().begin(), s.extents().end());
  BOOST_TEST((extents == std::vector<std::int64_t>{2, 7}));
  BOOST_TEST((Shape(std::span<const std::int64_t>(extents)) == s));
}

BOOST_AUTO_TEST_CASE(nonsense_is_refused) {
  BOOST_CHECK_THROW((Shape{1, 2, 3, 4, 5}), Error);
  BOOST_CHECK_THROW((Shape{3, -1}), Error);
}

}  // namespace
}  // namespace trireme
