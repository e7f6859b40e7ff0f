// SPDX-License-Identifier: Apache-2.0
// Progress bars for terminals of any width.
#include "trireme/host/progress.hpp"

#include <boost/test/unit_test.hpp>

using namespace trireme;

namespace {

const std::vector<std::string> kParts = {"iteration 120 of 400", "loss 2.3456",
                                         "12345 tokens/s", "3:07 min left"};

}  // namespace

BOOST_AUTO_TEST_CASE(a_bar_takes_what_the_words_leave) {
  BOOST_CHECK_EQUAL(bar_line(0.25, {"a 1 of 4"}, 40), "[######..................] a 1 of 4");
  BOOST_CHECK_EQUAL(bar_line(0.5, {"a 1 of 2"}, 22), "[#####.....] a 1 of 2");
  BOOST_CHECK_EQUAL(bar_line(2, {"a"}, 20), "[###############] a");
  BOOST_CHECK_EQUAL(bar_line(-1, {"a"}, 20), "[...............] a");
}

BOOST_AUTO_TEST_CASE(a_narrow_terminal_has_the_first_words_and_the_time_left) {
  BOOST_CHECK_EQUAL(
      bar_line(0.3, kParts, 100),
      "[#######.................] iteration 120 of 400 | loss 2.3456 | 12345 tokens/s "
      "| 3:07 min left");
  BOOST_CHECK_EQUAL(bar_line(0.3, kParts, 70),
                    "iteration 120 of 400 | loss 2.3456 | 12345 tokens/s | 3:07 min left");
  BOOST_CHECK_EQUAL(bar_line(0.3, kParts, 60),
                    "[#.....] iteration 120 of 400 | loss 2.3456 | 3:07 min left");
  BOOST_CHECK_EQUAL(bar_line(0.3, kParts, 40), "iteration 120 of 400 | loss 2.3456");
  BOOST_CHECK_EQUAL(bar_line(0.3, kParts, 22), "iteration 120 of 400");
  BOOST_CHECK_EQUAL(bar_line(0.3, kParts, 10), "iteration");
}

BOOST_AUTO_TEST_CASE(no_line_is_as_wide_as_the_terminal) {
  for (int width = 0; width < 120; ++width) {
    BOOST_CHECK_LE(bar_line(0.7, kParts, width).size(),
                   static_cast<std::size_t>(std::max(width - 1, 0)));
  }
}
