// SPDX-License-Identifier: Apache-2.0
// Philox against the known answers that Random123 publishes (kat_vectors, philox4x32 10).
#include "trireme/core/random.hpp"

#include <limits>
#include <set>

#include <boost/test/unit_test.hpp>

namespace trireme {
namespace {

using Words = std::array<std::uint32_t, 4>;

BOOST_AUTO_TEST_CASE(known_answers) {
  BOOST_TEST((philox({0, 0}, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  BOOST_TEST((philox({~0ULL, ~0U}, ~0ULL, ~0U) ==
              Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // Counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0: low words first.
  BOOST_TEST((philox({0x299f31d0a4093822ULL, 0x03707344}, 0x85a308d3243f6a88ULL, 0x13198a2e) ==
              Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

BOOST_AUTO_TEST_CASE(every_part_of_the_key_and_counter_matters) {
  const std::set<Words> draws = {philox({0, 0}, 0),           philox({1, 0}, 0),
                                 philox({1ULL << 32U, 0}, 0), philox({0, 1}, 0),
                                 philox({0, 0}, 1),           philox({0, 0}, 1ULL << 32U),
                                 philox({0, 0}, 0, 1)};
  BOOST_TEST(draws.size() == 7U);
}

BOOST_AUTO_TEST_CASE(unit_interval_is_open_and_symmetric) {
  constexpr std::uint32_t kTop = std::numeric_limits<std::uint32_t>::max();
  BOOST_TEST(unit_interval(0) == 0x1p-33);
  BOOST_TEST(unit_interval(kTop) == 1 - 0x1p-33);
  for (const std::uint32_t w : {0U, 1U, 12345U, 0x80000000U, kTop}) {
    BOOST_TEST(unit_interval(w) + unit_interval(kTop - w) == 1.0);
  }
}

BOOST_AUTO_TEST_CASE(streams_are_fnv_1a) {
  // Test values of the Fowler-Noll-Vo reference.
  static_assert(stream_of("") == 0x811c9dc5U);
  BOOST_TEST(stream_of("a") == 0xe40c292cU);
  BOOST_TEST(stream_of("foobar") == 0xbf9cf968U);
  BOOST_TEST(stream_of("\xff") != stream_of("\x7f"));
}

}  // namespace
}  // namespace trireme
