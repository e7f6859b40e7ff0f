// SPDX-License-Identifier: Apache-2.0
// Moments of 8 bits: ten steps of bitsandbytes' Adam8bit (golden/make_adam_8bit.py), rounding
// to the nearest code, and a form that gives codes back to the bit.
#include "trireme/ops/eight_bit.hpp"

#include <cmath>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include <boost/test/unit_test.hpp>

#include "trireme/ops/update.hpp"

#include "numerics.hpp"

namespace trireme::test {
namespace {

using eight_bit::kBlock;

/// The lines of adam_8bit.txt by their first word.
std::map<std::string, std::vector<double>> golden() {
  std::ifstream file(TRIREME_TEST_DIR "/support/golden/adam_8bit.txt");
  std::map<std::string, std::vector<double>> all;
  for (std::string text; std::getline(file, text);) {
    std::istringstream words(text);
    std::string name;
    words >> name;
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      const bool named = equals != std::string::npos && name == "settings";
      all[named ? word.substr(0, equals) : name].push_back(
          std::strtod(word.c_str() + (named ? equals + 1 : 0), nullptr));
    }
  }
  BOOST_REQUIRE_EQUAL(all["values"].size(), 700U);
  return all;
}

float start(std::int64_t i) { return static_cast<float>((i * 37) % 257 - 128) / 128; }

float gradient(std::int64_t i, std::int64_t step) {
  const std::int64_t mixed = (i * 7919 + step * 104729 + i * i % 1009 * 31) % 2048;
  return std::ldexp(static_cast<float>(mixed - 1024) / 1024, -static_cast<int>(i % 9));
}

struct State {
  Tensor value, exp_avg, exp_avg_scale, exp_avg_sq, exp_avg_sq_scale;
};

State ten_steps(const std::map<std::string, std::vector<double>>& g, DType copy) {
  const auto n = static_cast<std::int64_t>(g.at("n")[0]);
  const std::int64_t blocks = (n + kBlock - 1) / kBlock;
  const Exec& ex = cpu();
  State s{ex.make(DType::f32, Shape{n}), ex.zeros(DType::u8, Shape{n}),
          ex.zeros(DType::f32, Shape{blocks}), ex.zeros(DType::u8, Shape{n}),
          ex.zeros(DType::f32, Shape{blocks})};
  const Tensor copied = ex.make(copy, Shape{n});
  const Tensor grad = ex.make(DType::f32, Shape{n});
  for (std::int64_t i = 0; i < n; ++i) s.value.view().data<float>()[i] = start(i);
  for (std::int64_t t = 1; t <= static_cast<std::int64_t>(g.at("steps")[0]); ++t) {
    for (std::int64_t i = 0; i < n; ++i) grad.view().data<float>()[i] = gradient(i, t);
    ops::adam_8bit(ex, {.step = {.lr = g.at("lr")[0],
                                 .beta1 = g.at("beta1")[0],
                                 .beta2 = g.at("beta2")[0],
                                 .epsilon = g.at("eps")[0],
                                 .weight_decay = g.at("weight_decay")[0],
                                 .step = t},
                        .gradient = grad,
                        .value = s.value,
                        .exp_avg = s.exp_avg,
                        .exp_avg_scale = s.exp_avg_scale,
                        .exp_avg_sq = s.exp_avg_sq,
                        .exp_avg_sq_scale = s.exp_avg_sq_scale,
                        .copy = copied});
  }
  for (std::int64_t i = 0; copy == DType::bf16 && i < n; ++i) {
    BOOST_TEST(copied.view().data<Bf16>()[i].bits ==
               Bf16(s.value.view().data<float>()[i]).bits);
  }
  return s;
}

/// The code of the share nearest to x, by trying all.
float least_error(const eight_bit::Map& map, float x) {
  float least = 2;
  for (const float share : map.shares()) least = std::min(least, std::abs(x - share));
  return least;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(eight_bit_moments)

BOOST_AUTO_TEST_CASE(the_maps_are_those_of_bitsandbytes) {
  const auto g = golden();
  for (const bool has_sign : {true, false}) {
    const auto& map = has_sign ? eight_bit::signed_map() : eight_bit::unsigned_map();
    const std::vector<double>& expected = g.at(has_sign ? "signed" : "unsigned");
    BOOST_REQUIRE_EQUAL(expected.size(), 256U);
    for (std::size_t i = 0; i < 256; ++i) {
      BOOST_TEST(map.shares()[i] == static_cast<float>(expected[i]));
    }
  }
}

BOOST_AUTO_TEST_CASE(ten_steps_are_those_of_bitsandbytes) {
  const auto g = golden();
  for (const DType copy : {DType::f32, DType::bf16}) {
    const State s = ten_steps(g, copy);
    for (std::size_t i = 0; i < 700; ++i) {
      BOOST_CHECK_SMALL(s.value.view().data<float>()[i] - g.at("values")[i], 1e-6);
      BOOST_TEST(s.exp_avg.view().data<std::uint8_t>()[i] == g.at("exp_avg")[i]);
      BOOST_TEST(s.exp_avg_sq.view().data<std::uint8_t>()[i] == g.at("exp_avg_sq")[i]);
    }
    for (std::size_t b = 0; b < 3; ++b) {
      BOOST_CHECK_CLOSE(s.exp_avg_scale.view().data<float>()[b], g.at("exp_avg_scale")[b],
                        1e-4);
      BOOST_CHECK_CLOSE(s.exp_avg_sq_scale.view().data<float>()[b], g.at("exp_avg_sq_scale")[b],
                        1e-4);
    }
  }
}

BOOST_AUTO_TEST_CASE(codes_are_the_nearest_ones) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> decade(-8, 0);
  for (const bool has_sign : {true, false}) {
    const auto& map = has_sign ? eight_bit::signed_map() : eight_bit::unsigned_map();
    for (int round = 0; round < 200; ++round) {
      std::array<float, kBlock> x;
      for (float& e : x) {
        e = std::pow(10.0F, decade(random)) * (has_sign && random() % 2 == 0 ? -1.0F : 1.0F);
      }
      x[static_cast<std::size_t>(round)] = 1;  // the scale
      std::array<std::uint8_t, kBlock> codes;
      BOOST_TEST(map.encode(x.data(), kBlock, codes.data()) == 1.0F);
      for (std::size_t i = 0; i < kBlock; ++i) {
        const float error = std::abs(x[i] - map.shares()[codes[i]]);
        BOOST_TEST(error <= least_error(map, x[i]) * (1 + 1e-5F) + 1e-10F);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(codes_come_back_to_the_bit) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (int round = 0; round < 300; ++round) {
    const std::int64_t n = 1 + static_cast<std::int64_t>(random() % kBlock);
    const float size = std::pow(10.0F, static_cast<float>(round % 36) - 33);
    for (const bool has_sign : {true, false}) {
      const auto& map = has_sign ? eight_bit::signed_map() : eight_bit::unsigned_map();
      std::array<float, kBlock> x{};
      for (std::int64_t i = 0; i < n; ++i) {
        const float e = size * normal(random);
        x[static_cast<std::size_t>(i)] = random() % 8 == 0 ? 0 : has_sign ? e : e * e;
      }
      std::array<std::uint8_t, kBlock> codes{};
      const float scale = map.encode(x.data(), n, codes.data());
      std::array<float, kBlock> stored{};
      map.decode_exactly(codes.data(), scale, n, stored.data());
      std::array<std::uint8_t, kBlock> again{};
      BOOST_TEST(map.encode(stored.data(), n, again.data()) == scale);
      BOOST_TEST((again == codes));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_block_of_zeros_stays_one) {
  const std::array<float, kBlock> zeros{};
  for (const auto* map : {&eight_bit::signed_map(), &eight_bit::unsigned_map()}) {
    std::array<std::uint8_t, kBlock> codes{};
    BOOST_TEST(map->encode(zeros.data(), kBlock, codes.data()) == 0.0F);
    std::array<float, kBlock> x;
    x.fill(1);
    map->decode(codes.data(), 0, kBlock, x.data());
    BOOST_TEST((x == zeros));
  }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
