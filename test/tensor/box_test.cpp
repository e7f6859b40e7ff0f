// SPDX-License-Identifier: Apache-2.0
// Boxes against sets of points.
#include "trireme/tensor/box.hpp"

#include <array>
#include <random>
#include <set>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

namespace trireme {
namespace {

using Point = std::array<std::int64_t, Shape::kMaxRank>;

std::set<Point> points_of(const Box& box) {
  std::set<Point> points;
  const std::int64_t n = box.count();
  for (std::int64_t i = 0; i < n; ++i) {
    Point p{};
    std::int64_t rest = i;
    for (int axis = box.extent.rank() - 1; axis >= 0; --axis) {
      p[static_cast<std::size_t>(axis)] = box.offset[axis] + rest % box.extent[axis];
      rest /= box.extent[axis];
    }
    points.insert(p);
  }
  return points;
}

/// A box around the origin, of extents 0 to 4.
Box random_box(std::mt19937& random, int rank) {
  const std::vector<std::int64_t> zeros(static_cast<std::size_t>(rank), 0);
  Box box{Shape(zeros), Shape(zeros)};
  for (int axis = 0; axis < rank; ++axis) {
    box.offset[axis] = static_cast<std::int64_t>(random() % 6) - 1;
    box.extent[axis] = static_cast<std::int64_t>(random() % 5);
  }
  return box;
}

BOOST_AUTO_TEST_CASE(intersect_is_the_common_points) {
  std::mt19937 random(3);
  int met = 0;
  for (int round = 0; round < 4000; ++round) {
    const int rank = 1 + round % Shape::kMaxRank;
    const Box a = random_box(random, rank);
    const Box b = random_box(random, rank);
    std::set<Point> common;
    const std::set<Point> in_b = points_of(b);
    for (const Point& p : points_of(a)) {
      if (in_b.contains(p)) common.insert(p);
    }
    const auto c = intersect(a, b);
    BOOST_REQUIRE_EQUAL(c.has_value(), !common.empty());
    if (!c) continue;
    ++met;
    BOOST_TEST((points_of(*c) == common));
    BOOST_TEST((intersect(b, a) == c));
  }
  BOOST_TEST(met > 500);
}

BOOST_AUTO_TEST_CASE(inside_is_no_point_outside) {
  std::mt19937 random(4);
  int in = 0;
  for (int round = 0; round < 4000; ++round) {
    const int rank = 1 + round % Shape::kMaxRank;
    const Box box = random_box(random, rank);
    const Shape global = random_box(random, rank).extent;
    if (box.count() == 0) continue;  // an empty box has no point to look at
    const std::set<Point> all = points_of(Box::whole(global));
    bool expected = true;
    for (const Point& p : points_of(box)) expected = expected && all.contains(p);
    BOOST_REQUIRE_EQUAL(box.inside(global), expected);
    if (expected) ++in;
  }
  BOOST_TEST(in > 100);
}

/// Any range of any shape: its elements in order, in at most 2d − 1 boxes.
BOOST_AUTO_TEST_CASE(ranges_are_few_boxes) {
  std::mt19937 random(5);
  int most = 0;
  for (int round = 0; round < 4000; ++round) {
    const int rank = 1 + round % Shape::kMaxRank;
    Shape shape = random_box(random, rank).extent;
    for (int i = 0; i < rank; ++i) shape[i] = std::max<std::int64_t>(1, shape[i]);
    const auto draw = [&](std::int64_t below) {
      return std::uniform_int_distribution<std::int64_t>(0, below)(random);
    };
    const std::int64_t first = draw(shape.count());
    const std::int64_t count = draw(shape.count() - first);
    const auto boxes = boxes_of_range(shape, first, count);
    BOOST_REQUIRE(static_cast<int>(boxes.size()) <= 2 * rank - 1);
    most = std::max(most, static_cast<int>(boxes.size()) - 2 * rank + 1);
    std::int64_t next = first;
    for (const Box& box : boxes) {
      BOOST_REQUIRE(box.inside(shape));
      for (std::int64_t i = 0; i < box.count(); ++i, ++next) {
        // Element i of the box, by its place in the whole array.
        std::int64_t rest = i;
        std::int64_t place = 0;
        std::int64_t in_box = box.count();
        for (int axis = 0; axis < rank; ++axis) {
          in_box /= box.extent[axis];
          place = place * shape[axis] + box.offset[axis] + rest / in_box;
          rest %= in_box;
        }
        BOOST_REQUIRE_EQUAL(place, next);
      }
    }
    BOOST_REQUIRE_EQUAL(next, first + count);
  }
  BOOST_TEST(most == 0);  // as many as that were needed
  BOOST_CHECK_THROW((void)boxes_of_range(Shape{4, 6}, 20, 5), Error);
}

BOOST_AUTO_TEST_CASE(edges) {
  const Shape global{4, 6};
  BOOST_TEST(Box::whole(global).inside(global));
  BOOST_TEST(Box::whole(global).count() == 24);
  BOOST_TEST((Box{Shape{4, 0}, Shape{0, 6}}).inside(global));   // empty, at the end
  BOOST_TEST(!(Box{Shape{5, 0}, Shape{0, 6}}).inside(global));  // empty, beyond it
  BOOST_TEST(!(Box{Shape{0}, Shape{4}}).inside(global));
  Box huge = Box::whole(global);
  huge.extent[0] = std::int64_t{1} << 62;
  huge.offset[0] = std::int64_t{1} << 62;  // offset + extent would overflow
  BOOST_TEST(!huge.inside(global));
  BOOST_CHECK_THROW((void)intersect(Box::whole(global), Box::whole(Shape{4})), Error);
}

}  // namespace
}  // namespace trireme
