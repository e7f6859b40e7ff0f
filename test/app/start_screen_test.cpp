// SPDX-License-Identifier: Apache-2.0
// The line of phases that ends the start screen.
#include "../../src/app/start_screen.hpp"

#include <boost/test/unit_test.hpp>

using namespace trireme;

using Phases = std::vector<std::pair<std::string, double>>;

BOOST_AUTO_TEST_CASE(phases_keep_their_order_and_short_ones_are_left_out) {
  const Phases phases = {{"MPI", 0.2}, {"deck", 0.001}, {"model", 1.5}, {"data", 0.01}};
  BOOST_TEST(start_line(1.75, phases) == "start    1.75 s: MPI 0.20, model 1.50, data 0.01");
  BOOST_TEST(start_line(0.1, {}) == "start    0.10 s");
}

BOOST_AUTO_TEST_CASE(the_line_always_fits) {
  Phases phases;
  for (int i = 0; i < 40; ++i) {
    phases.emplace_back("phase" + std::to_string(i), 1000.0 * (i % 7 + 1) + i);
  }
  const std::string line = start_line(123'456.7, phases);
  BOOST_TEST(line.size() <= 110U);
  BOOST_TEST(line.size() > 90U);
  BOOST_TEST(line.find("phase34 7034.00") != std::string::npos);  // the longest
  BOOST_TEST(line.find("phase0 ") == std::string::npos);
  BOOST_TEST(line.find("phase6 ") < line.find("phase34 "));
}
