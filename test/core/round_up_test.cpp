// SPDX-License-Identifier: Apache-2.0
// Multiples at and around their bounds.
#include "trireme/core/round_up.hpp"

#include <cstddef>
#include <cstdint>

#include <boost/test/unit_test.hpp>

namespace trireme {
namespace {

BOOST_AUTO_TEST_CASE(multiples_are_the_least_that_hold) {
  for (const std::int64_t unit : {1, 2, 16, 3}) {
    for (std::int64_t n = 0; n < 50; ++n) {
      const std::int64_t up = round_up(n, unit);
      BOOST_TEST(up % unit == 0);
      BOOST_TEST((up >= n && up < n + unit));
    }
  }
  constexpr std::int64_t kLarge = std::int64_t{1} << 60U;
  BOOST_TEST(round_up(kLarge - 1, std::int64_t{4096}) == kLarge);
  BOOST_TEST(round_up(std::size_t{65}, std::size_t{64}) == 128U);
}

}  // namespace
}  // namespace trireme
