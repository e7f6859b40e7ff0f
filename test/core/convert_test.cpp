// SPDX-License-Identifier: Apache-2.0
// Conversions of half types: every pattern both ways, and rounding against distances computed
// in doubles; in long arrays, which are converted by vectors, and one by one.
#include "trireme/core/convert.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

namespace trireme {
namespace {

/// A half type by its definition: `fraction` bits of fraction, exponents from `least` on.
struct Format {
  DType type;
  unsigned fraction;
  int least;
};
constexpr std::array kFormats = {Format{DType::bf16, 7, -126}, Format{DType::f16, 10, -14}};

constexpr std::uint32_t kPatterns = 0x10000U;

std::uint32_t inf_of(const Format& f) { return (0x7fffU >> f.fraction) << f.fraction; }

/// Of a pattern without sign; inf's is where rounding to it begins to be nearer.
double magnitude(const Format& f, std::uint32_t pattern) {
  const std::uint32_t one = 1U << f.fraction;
  const auto exponent = static_cast<int>(pattern >> f.fraction);
  const double fraction = static_cast<double>(pattern & (one - 1)) / one;
  return exponent == 0 ? std::ldexp(fraction, f.least)
                       : std::ldexp(1 + fraction, f.least + exponent - 1);
}

/// The pattern nearest to ±(that of `below` … the next one), ties to even.
std::uint16_t nearest(const Format& f, std::uint32_t below, float x) {
  const double size = std::fabs(static_cast<double>(x));
  const double down = size - magnitude(f, below);
  const double up = magnitude(f, below + 1) - size;
  const std::uint32_t chosen = down < up || (down == up && below % 2 == 0) ? below : below + 1;
  return static_cast<std::uint16_t>(chosen | (std::signbit(x) ? 0x8000U : 0U));
}

std::vector<float> widened(DType type, const std::vector<std::uint16_t>& from) {
  std::vector<float> to(from.size(), 777);
  widen(type, from.data(), to.data(), std::ssize(from));
  return to;
}

std::vector<std::uint16_t> narrowed(DType type, const std::vector<float>& from) {
  std::vector<std::uint16_t> to(from.size(), 0x1234);
  narrow(from.data(), type, to.data(), std::ssize(from));
  return to;
}

std::vector<std::uint16_t> all_patterns() {
  std::vector<std::uint16_t> all;
  for (std::uint32_t p = 0; p < kPatterns; ++p) all.push_back(static_cast<std::uint16_t>(p));
  return all;
}

BOOST_AUTO_TEST_SUITE(convert)

BOOST_AUTO_TEST_CASE(every_pattern_there_and_back) {
  const std::vector<std::uint16_t> all = all_patterns();
  for (const Format& f : kFormats) {
    const std::vector<float> wide = widened(f.type, all);
    const std::vector<std::uint16_t> back = narrowed(f.type, wide);
    for (std::uint32_t p = 0; p < kPatterns; ++p) {
      const float x = wide[p];
      BOOST_REQUIRE_EQUAL(std::signbit(x), p >= 0x8000U);
      if ((p & 0x7fffU) > inf_of(f)) {
        BOOST_REQUIRE(std::isnan(x));
        BOOST_REQUIRE_GT(back[p] & 0x7fffU, inf_of(f));
      } else {
        const double size = std::fabs(static_cast<double>(x));
        BOOST_REQUIRE_EQUAL(size, (p & 0x7fffU) == inf_of(f)
                                      ? std::numeric_limits<double>::infinity()
                                      : magnitude(f, p & 0x7fffU));
        BOOST_REQUIRE_EQUAL(back[p], p);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(rounds_to_nearest_even) {
  for (const Format& f : kFormats) {
    std::vector<float> from;
    std::vector<std::uint16_t> expected;
    for (std::uint32_t p = 0; p < inf_of(f); ++p) {
      const double low = magnitude(f, p);
      const double high = magnitude(f, p + 1);
      const auto tie = static_cast<float>((low + high) / 2);  // exact but between bf16's least
      const float up = std::numeric_limits<float>::infinity();
      for (const float x : {tie, std::nextafter(tie, 0.0F), std::nextafter(tie, up),
                            std::nextafter(static_cast<float>(low), up),
                            static_cast<float>(low + (high - low) * 0.3)}) {
        for (const float signed_x : {x, -x}) {
          from.push_back(signed_x);
          expected.push_back(nearest(f, p, x) | (std::signbit(signed_x) ? 0x8000U : 0U));
        }
      }
    }
    BOOST_TEST((narrowed(f.type, from) == expected));
  }
}

BOOST_AUTO_TEST_CASE(at_the_ends) {
  using Limits = std::numeric_limits<float>;
  const std::vector<float> from = {
      Limits::infinity(), -Limits::infinity(), Limits::max(), -Limits::max(),
      65504.0F,           65519.996F,          65520.0F,      -1e30F,
      0x1p-25F,           0x1.000002p-25F,     -0x1p-149F,    -0.0F};
  BOOST_TEST(narrowed(DType::f16, from) ==
                 (std::vector<std::uint16_t>{0x7c00, 0xfc00, 0x7c00, 0xfc00, 0x7bff, 0x7bff,
                                             0x7c00, 0xfc00, 0, 1, 0x8000, 0x8000}),
             boost::test_tools::per_element());
  // A NaN whose only set fraction bits are cut off mustn't become inf.
  for (const Format& f : kFormats) {
    for (const std::uint32_t bits : {0x7f800001U, 0xff800001U, 0x7fffffffU, 0x7fc00000U}) {
      for (const std::size_t n : {1U, 16U}) {
        const std::uint16_t h =
            narrowed(f.type, std::vector<float>(n, std::bit_cast<float>(bits)))[0];
        BOOST_TEST((h & 0x7fffU) > inf_of(f));
        BOOST_TEST((h >> 15U) == bits >> 31U);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(one_by_one_as_in_long_arrays) {
  const std::vector<std::uint16_t> all = all_patterns();
  for (const Format& f : kFormats) {
    const std::vector<float> wide = widened(f.type, all);
    std::vector<float> between;
    for (const float x : wide) between.push_back(x * 1.0007F);
    const std::vector<std::uint16_t> rounded = narrowed(f.type, between);
    for (std::size_t p = 0; p < kPatterns; ++p) {
      float x = 0;
      widen(f.type, &all[p], &x, 1);
      BOOST_REQUIRE_EQUAL(std::bit_cast<std::uint32_t>(x),
                          std::bit_cast<std::uint32_t>(wide[p]));
      std::uint16_t h = 0;
      narrow(&between[p], f.type, &h, 1);
      BOOST_REQUIRE_EQUAL(h, rounded[p]);
    }
  }
}

BOOST_AUTO_TEST_CASE(nothing_beside_the_array) {
  for (const Format& f : kFormats) {
    for (std::int64_t n = 0; n < 70; ++n) {
      const std::vector<std::uint16_t> from(80, 0x3c00);
      std::vector<float> wide(80, 777);
      widen(f.type, from.data() + 3, wide.data() + 5, n);
      std::vector<std::uint16_t> back(80, 0x1234);
      narrow(wide.data() + 5, f.type, back.data() + 1, n);
      for (std::int64_t i = 0; i < 80; ++i) {
        const auto at = static_cast<std::size_t>(i);
        BOOST_REQUIRE_EQUAL(wide[at] == 777, i < 5 || i >= 5 + n);
        BOOST_REQUIRE_EQUAL(back[at], i < 1 || i >= 1 + n ? 0x1234 : 0x3c00);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(fp32_is_copied_and_other_types_are_refused) {
  const std::array<float, 3> from = {1, -2, std::numeric_limits<float>::denorm_min()};
  std::array<float, 3> to{};
  widen(DType::f32, from.data(), to.data(), 3);
  BOOST_TEST(to == from, boost::test_tools::per_element());
  to = {};
  narrow(from.data(), DType::f32, to.data(), 3);
  BOOST_TEST(to == from, boost::test_tools::per_element());
  for (const DType type : {DType::f64, DType::i32, DType::u16}) {
    std::array<double, 3> other{};
    BOOST_CHECK_THROW(widen(type, other.data(), to.data(), 3), Error);
    BOOST_CHECK_THROW(narrow(from.data(), type, other.data(), 3), Error);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace trireme
