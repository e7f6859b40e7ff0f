// SPDX-License-Identifier: Apache-2.0
// Tables of invented hosts, up to 10,000 of them.
#include "trireme/host/mesh_table.hpp"

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include "trireme/core/clock.hpp"

using namespace trireme;

namespace {

/// Places of ranks in order, on `hosts` hosts of `each` ranks.
std::vector<RankPlace> places(int hosts, int each, const std::string& device = "H100",
                              const std::string& domain = "") {
  std::vector<RankPlace> all;
  for (int host = 0; host < hosts; ++host) {
    for (int i = 0; i < each; ++i) {
      all.push_back({fmt::format("node{:05}{}", host, domain), device});
    }
  }
  return all;
}

using Lines = std::vector<std::string>;

void check_lines(const Lines& got, const Lines& expected) {
  BOOST_CHECK_EQUAL_COLLECTIONS(got.begin(), got.end(), expected.begin(), expected.end());
}

}  // namespace

BOOST_AUTO_TEST_CASE(numbers_in_short) {
  BOOST_CHECK_EQUAL(number_range({7}), "7");
  BOOST_CHECK_EQUAL(number_range({0, 1}), "0–1");
  BOOST_CHECK_EQUAL(number_range({4, 5, 6, 7, 8}), "4–8");
  BOOST_CHECK_EQUAL(number_range({0, 2}), "0, 2");
  BOOST_CHECK_EQUAL(number_range({0, 4, 8, 12, 28}), "0 … 28 (5)");
}

BOOST_AUTO_TEST_CASE(names_that_count_up) {
  BOOST_CHECK_EQUAL(host_range({"a"}), "a");
  BOOST_CHECK_EQUAL(host_range({"node8", "node9", "node10", "node11"}),
                    "node8–node11 (4 hosts)");
  BOOST_CHECK_EQUAL(host_range({"r1n09-ib", "r1n10-ib"}), "r1n09-ib–r1n10-ib (2 hosts)");
  BOOST_CHECK_EQUAL(host_range({"node1", "node3"}), "node1 … node3 (2 hosts)");
  BOOST_CHECK_EQUAL(host_range({"node1", "node11"}), "node1 … node11 (2 hosts)");
  BOOST_CHECK_EQUAL(host_range({"node2", "node1"}), "node2 … node1 (2 hosts)");
  BOOST_CHECK_EQUAL(host_range({"ant", "bee", "node1"}), "ant … node1 (3 hosts)");
  BOOST_CHECK_EQUAL(host_range({"node", "node1"}), "node … node1 (2 hosts)");
}

BOOST_AUTO_TEST_CASE(each_host_has_a_line_where_they_are_few) {
  check_lines(
      mesh_table({.dp = 2, .tp = 2, .pp = 2}, places(2, 4), 4),
      {"hosts      ranks  devices   dp   tp   pp", "node00000  0–3    4 × H100  0–1  0–1  0",
       "node00001  4–7    4 × H100  0–1  0–1  1"});
}

BOOST_AUTO_TEST_CASE(a_domain_that_all_share_is_left_out) {
  const auto lines =
      mesh_table({.dp = 2, .tp = 1, .pp = 1}, places(2, 1, "cpu", ".site.org"), 4);
  BOOST_CHECK_EQUAL(lines.at(1), "node00000  0      1 × cpu  0   0   0");
  auto mixed = places(2, 1, "cpu", ".site.org");
  mixed[1].host = "other.place.org";
  BOOST_CHECK(mesh_table({.dp = 2}, mixed, 4).at(1).starts_with("node00000.site.org  "));
}

BOOST_AUTO_TEST_CASE(ranks_dealt_out_in_turn_and_devices_that_differ) {
  std::vector<RankPlace> all;
  for (int rank = 0; rank < 8; ++rank) {
    all.push_back({rank % 2 == 0 ? "a" : "b", rank % 4 == 0 ? "H200" : "H100"});
  }
  const auto lines = mesh_table({.dp = 8, .tp = 1, .pp = 1}, all, 4);
  BOOST_CHECK_EQUAL(lines.at(1), "a      0, 2, 4, 6  2 × H100, 2 × H200  0, 2, 4, 6  0   0");
  BOOST_CHECK_EQUAL(lines.at(2), "b      1, 3, 5, 7  4 × H100            1, 3, 5, 7  0   0");
}

BOOST_AUTO_TEST_CASE(hosts_of_a_stage_share_a_line) {
  check_lines(
      mesh_table({.dp = 8, .tp = 4, .pp = 3}, places(12, 8), 4),
      {"hosts                          ranks           devices   dp            tp   pp",
       "node00000–node00003 (4 hosts)  0–31 (8 each)   8 × H100  0–7 (2 each)  0–3  0",
       "node00004–node00007 (4 hosts)  32–63 (8 each)  8 × H100  0–7 (2 each)  0–3  1",
       "node00008–node00011 (4 hosts)  64–95 (8 each)  8 × H100  0–7 (2 each)  0–3  2"});
}

BOOST_AUTO_TEST_CASE(ten_thousand_hosts_are_two_lines) {
  const double begin = now();
  const auto lines = mesh_table({.dp = 20, .tp = 8, .pp = 500}, places(10'000, 8), 4);
  BOOST_CHECK_LT(now() - begin, 2);  // 80,000 ranks take some hundredths of a second
  BOOST_REQUIRE_EQUAL(lines.size(), 2U);
  BOOST_CHECK_EQUAL(lines[1],
                    "node00000–node09999 (10000 hosts)  0–79999 (8 each)  8 × H100  0–19 (1 "
                    "each)  0–7  0–499 (1 each)");
}

BOOST_AUTO_TEST_CASE(of_too_many_kinds_the_rest_is_counted) {
  std::vector<RankPlace> all;
  for (int host = 0; host < 10; ++host) {
    for (int i = 0; i <= host; ++i) all.push_back({fmt::format("n{}", host), "cpu"});
  }
  const auto lines = mesh_table({.dp = 55, .tp = 1, .pp = 1}, all, 4);
  BOOST_REQUIRE_EQUAL(lines.size(), 5U);
  BOOST_CHECK(lines[3].starts_with("n2 "));
  BOOST_CHECK_EQUAL(lines[4], "and 7 more hosts of 7 other kinds");
}
