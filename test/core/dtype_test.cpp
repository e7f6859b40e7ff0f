// SPDX-License-Identifier: Apache-2.0
// Element types; bf16 rounding against distances computed exactly in doubles.
#include "trireme/core/dtype.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <string>

#include <boost/test/unit_test.hpp>

namespace trireme {
namespace {

/// Magnitude of a bf16 pattern without sign; the pattern after the largest finite one stands
/// for 2^128, which is where rounding to infinity begins to be nearer.
double magnitude(std::uint32_t pattern) {
  const auto exponent = static_cast<int>(pattern >> 7U);
  const double fraction = (pattern & 0x7fU) / 128.0;
  return exponent == 0 ? std::ldexp(fraction, -126) : std::ldexp(1 + fraction, exponent - 127);
}

std::uint16_t nearest_even(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t below = (bits >> 16U) & 0x7fffU;
  const double size = std::fabs(static_cast<double>(x));
  const double down = size - magnitude(below);
  const double up = magnitude(below + 1) - size;
  const std::uint32_t chosen = down < up || (down == up && below % 2 == 0) ? below : below + 1;
  return static_cast<std::uint16_t>(chosen | (bits >> 16U & 0x8000U));
}

BOOST_AUTO_TEST_CASE(bf16_rounds_to_nearest_even) {
  std::mt19937 random(1);
  for (std::uint32_t upper = 0; upper < 0x10000U; ++upper) {
    if ((upper & 0x7f80U) == 0x7f80U) continue;  // infinities and NaN
    for (std::uint32_t lower : {0U, 1U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU,
                                static_cast<std::uint32_t>(random()) & 0xffffU}) {
      const auto x = std::bit_cast<float>(upper << 16U | lower);
      BOOST_REQUIRE_EQUAL(Bf16(x).bits, nearest_even(x));
    }
  }
}

BOOST_AUTO_TEST_CASE(bf16_keeps_what_it_can_hold) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    Bf16 b;
    b.bits = static_cast<std::uint16_t>(bits);
    const auto x = static_cast<float>(b);
    if (std::isnan(x)) {
      BOOST_REQUIRE(std::isnan(static_cast<float>(Bf16(x))));
    } else {
      BOOST_REQUIRE_EQUAL(Bf16(x).bits, bits);
    }
  }
  BOOST_TEST(static_cast<float>(Bf16(1.0F)) == 1.0F);
  BOOST_TEST(static_cast<float>(Bf16(-0.15625F)) == -0.15625F);
}

BOOST_AUTO_TEST_CASE(bf16_at_the_ends) {
  using Limits = std::numeric_limits<float>;
  BOOST_TEST(Bf16(Limits::infinity()).bits == 0x7f80U);
  BOOST_TEST(Bf16(-Limits::infinity()).bits == 0xff80U);
  BOOST_TEST(Bf16(Limits::max()).bits == 0x7f80U);  // nearer to 2^128 than to the largest bf16
  BOOST_TEST(Bf16(-0.0F).bits == 0x8000U);
  // A NaN whose only set fraction bits are cut off mustn't become infinity.
  const auto low_nan = std::bit_cast<float>(0x7f800001U);
  BOOST_TEST(std::isnan(static_cast<float>(Bf16(low_nan))));
  BOOST_TEST(std::isnan(static_cast<float>(Bf16(std::bit_cast<float>(0xffffffffU)))));
}

template <class T>
void check_type(std::string_view name) {
  BOOST_TEST(size_of(kDTypeOf<T>) == sizeof(T));
  BOOST_TEST(name_of(kDTypeOf<T>) == name);
}

BOOST_AUTO_TEST_CASE(sizes_and_names) {
  check_type<float>("fp32");
  check_type<double>("fp64");
  check_type<Half>("fp16");
  check_type<Bf16>("bf16");
  check_type<std::int32_t>("int32");
  check_type<std::int64_t>("int64");
  check_type<std::uint8_t>("uint8");
  check_type<std::uint16_t>("uint16");
  check_type<std::uint32_t>("uint32");
  check_type<std::uint64_t>("uint64");
}

}  // namespace
}  // namespace trireme
