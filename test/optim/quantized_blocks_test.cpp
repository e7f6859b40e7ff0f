// SPDX-License-Identifier: Apache-2.0
// Blocks of bytes: errors within half a step, values that stay, and what isn't finite.
#include "../../src/optim/quantized_blocks.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/core/convert.hpp"

namespace {

using namespace trireme;

std::vector<float> there_and_back(const std::vector<float>& x, DType type = DType::f32) {
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<std::byte> typed(x.size() * size_of(type));
  narrow(x.data(), type, typed.data(), n);
  std::vector<std::byte> coded(static_cast<std::size_t>(quantized_bytes(n)));
  quantize(type, typed.data(), n, coded.data());
  dequantize(coded.data(), n, type, typed.data());
  std::vector<float> back(x.size());
  widen(type, typed.data(), back.data(), n);
  return back;
}

/// Numbers without pattern, whose size changes from block to block.
std::vector<float> noise(std::size_t count) {
  std::vector<float> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto place = static_cast<float>(i);
    all[i] = std::sin(place * 12.9898F) * std::pow(10.0F, std::cos(std::floor(place / 256)));
  }
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(quantized_blocks)

BOOST_AUTO_TEST_CASE(errors_are_within_half_a_step) {
  for (const std::size_t count : {1U, 16U, 255U, 256U, 257U, 1000U}) {
    const std::vector<float> x = noise(count);
    const std::vector<float> back = there_and_back(x);
    for (std::size_t i = 0; i < count; ++i) {
      float most = 0;
      const std::size_t first = i / 256 * 256;
      for (std::size_t k = first; k < std::min(first + 256, count); ++k) {
        most = std::max(most, std::abs(x[k]));
      }
      BOOST_TEST(std::abs(back[i] - x[i]) <= most / 127 / 2 * 1.0001F);
      if (std::abs(x[i]) == most) BOOST_TEST(std::abs(back[i] - x[i]) <= most * 1e-6F);
    }
  }
}

BOOST_AUTO_TEST_CASE(bytes_are_those_of_codes_and_scales) {
  BOOST_TEST(quantized_bytes(1) == 5);
  BOOST_TEST(quantized_bytes(256) == 260);
  BOOST_TEST(quantized_bytes(257) == 265);
}

BOOST_AUTO_TEST_CASE(multiples_of_the_scale_stay) {
  std::vector<float> x(512);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(static_cast<int>(i % 255) - 127) / 128;
  }
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    const std::vector<float> once = there_and_back(x, type);
    BOOST_TEST(there_and_back(once, type) == once, boost::test_tools::per_element());
    if (type == DType::f32) BOOST_TEST(once == x, boost::test_tools::per_element());
  }
  const std::vector<float> zeros(300);
  BOOST_TEST(there_and_back(zeros) == zeros, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_spoils_its_block_alone) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x = noise(512);
    x[300] = bad;
    const std::vector<float> back = there_and_back(x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      BOOST_TEST(std::isfinite(back[i]) == (i < 256));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
