// SPDX-License-Identifier: Apache-2.0
// Shares of replicas tile the items, and are even.
#include "trireme/checkpoint/piece.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

constexpr std::int64_t kSmallest = 64 << 10;

/// share() looks at shapes and types alone.
ConstView item(const Shape& shape, DType dtype = DType::f32) { return {nullptr, dtype, shape}; }

std::int64_t bytes_of(const ConstView& v) { return static_cast<std::int64_t>(v.bytes()); }

/// From nothing over a few bytes to a MiB or so, of one to four axes; at times a single row.
ConstView random_item(std::mt19937& draw) {
  constexpr std::array kTypes{DType::f16, DType::bf16, DType::f32, DType::f64};
  std::vector<std::int64_t> extents(1 + draw() % 4);
  const std::int64_t most = std::int64_t{1} << (draw() % (18 / extents.size()) + 1);
  for (auto& e : extents) e = static_cast<std::int64_t>(draw()) % most + 1;
  if (draw() % 8 == 0) extents.front() = 1;
  if (draw() % 8 == 0) extents.back() = 0;
  return item(Shape(extents), kTypes[draw() % kTypes.size()]);
}

/// Checks every promise of share() for `items`.
void check_shares(const std::vector<ConstView>& items, int replicas) {
  std::int64_t total = 0;
  std::int64_t most = kSmallest;  // largest deviation of a share
  std::vector<std::int64_t> next(items.size(), 0);
  for (const ConstView& v : items) {
    total += bytes_of(v);
    if (v.count() > 0) most = std::max(most, bytes_of(v) / v.shape()[0]);
  }
  std::size_t last = 0;
  for (int r = 0; r < replicas; ++r) {
    std::int64_t bytes = 0;
    for (const Rows& rows : share(items, replicas, r)) {
      BOOST_REQUIRE(rows.item >= last);  // in order, over all replicas
      last = rows.item;
      const ConstView& v = items[rows.item];
      BOOST_REQUIRE(rows.count > 0);
      BOOST_REQUIRE(rows.first == next[rows.item]);
      next[rows.item] += rows.count;
      if (bytes_of(v) < kSmallest) BOOST_REQUIRE(rows.count == v.shape()[0]);
      bytes += bytes_of(v) / v.shape()[0] * rows.count;
    }
    BOOST_REQUIRE_LE(std::abs(bytes - total / replicas), most + 1);
    BOOST_REQUIRE(share(items, replicas, r) == share(items, replicas, r));
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    BOOST_REQUIRE(next[i] == (items[i].count() > 0 ? items[i].shape()[0] : 0));
  }
}

HeldPiece held(const std::string& name, std::vector<float>& values, const Shape& extent,
               int replica, int replicas) {
  const Box box(Shape{10, 0}, extent);
  return {{name, Shape{1000, extent[1]}, box, ConstView(values.data(), DType::f32, extent)},
          replica,
          replicas};
}

}  // namespace

BOOST_AUTO_TEST_CASE(shares_of_random_items_tile_and_are_even) {
  std::mt19937 draw(7);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<ConstView> items(draw() % 20);
    for (auto& v : items) v = random_item(draw);
    for (int replicas = 1; replicas <= 9; ++replicas) {
      BOOST_TEST_CONTEXT("trial " << trial << ", replicas " << replicas) {
        check_shares(items, replicas);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(more_replicas_than_rows) {
  check_shares({item({3, 100'000})}, 9);
  check_shares({item({1, 100'000}), item({2}), item({1, 1, 1, 70'000})}, 50);
  check_shares({}, 4);
  check_shares({item({0, 5}), item({7, 0})}, 4);
}

BOOST_AUTO_TEST_CASE(cuts_move_to_the_nearest_row) {
  // 20 rows of 6,556 bytes: just too many to stay whole.
  const std::vector<ConstView> large{item({20, 1639})};
  BOOST_TEST((share(large, 2, 0) == std::vector<Rows>{{0, 0, 10}}));
  BOOST_TEST((share(large, 2, 1) == std::vector<Rows>{{0, 10, 10}}));
  BOOST_TEST((share(large, 3, 0) == std::vector<Rows>{{0, 0, 7}}));  // at 6.67 rows
  BOOST_TEST((share(large, 3, 1) == std::vector<Rows>{{0, 7, 6}}));  // to 13.33 rows
}

BOOST_AUTO_TEST_CASE(small_items_go_to_the_nearer_side) {
  const std::vector<ConstView> items{item({100}), item({300}), item({90})};  // half of 490
  BOOST_TEST((share(items, 2, 0) == std::vector<Rows>{{0, 0, 100}}));
  BOOST_TEST((share(items, 2, 1) == std::vector<Rows>{{1, 0, 300}, {2, 0, 90}}));
}

BOOST_AUTO_TEST_CASE(cuts_of_a_huge_state_do_not_overflow) {
  const std::vector<ConstView> items{item({std::int64_t{1} << 56U, 1})};  // 2^58 bytes
  const auto part = share(items, 4096, 4095);
  BOOST_REQUIRE(part.size() == 1U);
  BOOST_TEST(part.front().first == 4095 * (std::int64_t{1} << 44U));
}

BOOST_AUTO_TEST_CASE(no_axis_or_no_such_replica_is_an_error) {
  TRM_TEST_MENTIONS(error_of([] { (void)share({item(Shape{})}, 2, 0); }), "no axis");
  TRM_TEST_MENTIONS(error_of([] { (void)share({}, 2, 2); }), "replica 2 of 2");
}

BOOST_AUTO_TEST_CASE(rows_are_pieces) {
  std::vector<std::uint16_t> values(5 * 3 * 2);
  const Shape extent{5, 3, 2};
  const Piece piece{"w", Shape{9, 6, 2}, Box(Shape{2, 3, 0}, extent),
                    ConstView(values.data(), DType::u16, extent)};
  const Piece part = rows_of(piece, {0, 2, 3});
  BOOST_TEST(part.name == "w");
  BOOST_TEST((part.global == piece.global));
  BOOST_TEST((part.box == Box(Shape{4, 3, 0}, Shape{3, 3, 2})));
  BOOST_TEST((part.data.shape() == part.box.extent && part.data.contiguous()));
  BOOST_TEST(part.data.data<std::uint16_t>() == values.data() + 12);
  BOOST_CHECK_THROW((void)rows_of(piece, {0, 3, 3}), Error);
}

BOOST_AUTO_TEST_CASE(every_element_is_written_once) {
  // Each of 6 ranks holds "a" and "c"; pairs hold "b"; "d" is different on each rank.
  const Shape large{500, 200};
  const Shape small{4, 4};
  std::vector<float> a(100'000), b(100'000), c(16), d(16);
  std::vector<int> written_a(500, 0);
  std::vector<int> written_b(3UL * 500, 0);
  int written_c = 0;
  for (int r = 0; r < 6; ++r) {
    const auto pieces = writing_share({held("a", a, large, r, 6), held("b", b, large, r % 2, 2),
                                       held("c", c, small, r, 6), held("d", d, small, 0, 1)});
    BOOST_TEST(std::is_sorted(pieces.begin(), pieces.end(),
                              [](const Piece& x, const Piece& y) { return x.name < y.name; }));
    BOOST_TEST((pieces.back().name == "d" && pieces.back().box.extent == small));
    for (const Piece& p : pieces) {
      const std::int64_t first = p.box.offset[0] - 10;
      if (p.name == "c") ++written_c;
      for (auto row = static_cast<std::size_t>(first);
           row < static_cast<std::size_t>(first + p.box.extent[0]); ++row) {
        if (p.name == "a") ++written_a[row];
        if (p.name == "b") ++written_b[static_cast<std::size_t>(r / 2) * 500 + row];
      }
      if (p.name == "a") BOOST_TEST(p.data.data<float>() == a.data() + first * 200);
    }
  }
  const auto once = [](int n) { return n == 1; };
  BOOST_TEST(std::all_of(written_a.begin(), written_a.end(), once));
  BOOST_TEST(std::all_of(written_b.begin(), written_b.end(), once));
  BOOST_TEST(written_c == 1);
}

BOOST_AUTO_TEST_CASE(a_rank_has_one_number_among_so_many) {
  std::vector<float> a(16);
  const auto message = error_of([&] {
    (void)writing_share({held("a", a, Shape{4, 4}, 0, 2), held("b", a, Shape{4, 4}, 1, 2)});
  });
  TRM_TEST_MENTIONS(message, "b is replica 1 of 2, but a is number 0");
}

BOOST_AUTO_TEST_CASE(writers_have_equal_groups_of_neighbours) {
  const auto groups = [](std::int64_t ranks, std::int64_t writers) {
    std::vector<std::int64_t> all;
    for (std::int64_t r = 0; r < ranks; ++r) all.push_back(writer_group(r, ranks, writers));
    return all;
  };
  BOOST_TEST((groups(8, 2) == std::vector<std::int64_t>{0, 0, 0, 0, 1, 1, 1, 1}));
  BOOST_TEST((groups(5, 2) == std::vector<std::int64_t>{0, 0, 0, 1, 1}));
  BOOST_TEST((groups(3, 8) == std::vector<std::int64_t>{0, 1, 2}));
  BOOST_TEST((groups(4, 1) == std::vector<std::int64_t>{0, 0, 0, 0}));
}
