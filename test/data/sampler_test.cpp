// SPDX-License-Identifier: Apache-2.0
// Permutations, splits and blends, against their definitions.
#include "trireme/data/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"

using namespace trireme;
using test::error_of;

namespace {

std::vector<std::int64_t> all_of(const Permutation& p, std::int64_t n) {
  std::vector<std::int64_t> image;
  for (std::int64_t i = 0; i < n; ++i) image.push_back(p(i));
  return image;
}

std::array<std::int64_t, 4> cut(std::string_view split, std::int64_t documents) {
  return split_documents(parse_split(split), documents);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_permutation_is_a_bijection) {
  for (const std::int64_t n : {1,  2,  3,  4,   5,   7,   8,   9,    15,   16,    17,
                               63, 64, 65, 100, 255, 256, 257, 1000, 4097, 65536, 100'003}) {
    std::vector<bool> seen(static_cast<std::size_t>(n));
    for (const std::int64_t x : all_of(Permutation(n, 1234, 5), n)) {
      BOOST_REQUIRE(x >= 0 && x < n);
      BOOST_REQUIRE(!seen[static_cast<std::size_t>(x)]);
      seen[static_cast<std::size_t>(x)] = true;
    }
  }
  const std::int64_t huge = (std::int64_t{1} << 61U) + 12345;
  BOOST_TEST(Permutation(huge, 1, 0)(huge - 1) < huge);
}

BOOST_AUTO_TEST_CASE(a_permutation_depends_on_seed_and_epoch) {
  const auto order = all_of(Permutation(1000, 1, 0), 1000);
  BOOST_TEST((order == all_of(Permutation(1000, 1, 0), 1000)));
  const auto agreeing = [&](std::uint64_t seed, std::uint64_t epoch) {
    const auto other = all_of(Permutation(1000, seed, epoch), 1000);
    return std::inner_product(order.begin(), order.end(), other.begin(), 0, std::plus<>(),
                              std::equal_to<>());
  };
  // Two random orders agree in one place on average; ten and more have odds below 1e-6.
  BOOST_TEST(agreeing(2, 0) < 10);
  BOOST_TEST(agreeing(1, 1) < 10);
  BOOST_TEST(agreeing(1ULL << 40U, 0) < 10);
}

BOOST_AUTO_TEST_CASE(a_permutation_looks_random) {
  // Over many keys each of 5 values comes first equally often: chi-squared with 4 degrees of
  // freedom is above 23.5 with odds of 1e-4. What follows value 0 is tested likewise.
  constexpr int kKeys = 20'000;
  std::array<int, 5> first{};
  for (std::uint64_t key = 0; key < kKeys; ++key) {
    ++first[static_cast<std::size_t>(Permutation(5, key, 0)(0))];
  }
  double chi = 0;
  for (const int n : first) chi += (n - kKeys / 5.0) * (n - kKeys / 5.0) / (kKeys / 5.0);
  BOOST_TEST(chi < 23.5);
  // Neighbours do not stay together: of 10,000 steps about 2 go from x to x ± 1.
  const auto order = all_of(Permutation(10'000, 7, 7), 10'000);
  int neighbours = 0;
  for (std::size_t i = 1; i < order.size(); ++i) {
    neighbours += std::abs(order[i] - order[i - 1]) == 1 ? 1 : 0;
  }
  BOOST_TEST(neighbours < 15);
}

BOOST_AUTO_TEST_CASE(samples_overlap_by_one_token) {
  BOOST_TEST(samples_in(0, 4) == 0);
  BOOST_TEST(samples_in(1, 4) == 0);
  BOOST_TEST(samples_in(4, 4) == 0);
  BOOST_TEST(samples_in(5, 4) == 1);
  BOOST_TEST(samples_in(8, 4) == 1);
  BOOST_TEST(samples_in(9, 4) == 2);
}

BOOST_AUTO_TEST_CASE(splits) {
  using Starts = std::array<std::int64_t, 4>;
  BOOST_TEST((cut("969, 30, 1", 1000) == Starts{0, 969, 999, 1000}));
  BOOST_TEST((cut("969,30,1", 10) == Starts{0, 10, 10, 10}));
  BOOST_TEST((cut("969/30/1", 100) == Starts{0, 97, 100, 100}));
  BOOST_TEST((cut("1", 7) == Starts{0, 7, 7, 7}));
  BOOST_TEST((cut("9, 1", 10) == Starts{0, 9, 10, 10}));
  BOOST_TEST((cut("0.5,0.25,0.25", 10) == Starts{0, 6, 8, 10}));  // 5 + 2 + 2 lack one
  BOOST_TEST((cut("0, 1, 0", 5) == Starts{0, 0, 5, 5}));
  BOOST_TEST((cut("1,1,1", 0) == Starts{0, 0, 0, 0}));
  for (const char* bad : {"", "a", "1,", "1,2,3,4", "-1,2", "0,0,0", "1;2", "nan", "1e999"}) {
    TRM_TEST_MENTIONS(error_of([&] { (void)parse_split(bad); }), "split");
  }
}

BOOST_AUTO_TEST_CASE(a_split_never_leaves_the_documents) {
  for (std::int64_t n = 0; n < 300; ++n) {
    for (const char* split : {"969,30,1", "1,1,1", "98,1,1", "1,0,2", "3,5,7", "0,0,1"}) {
      const auto starts = cut(split, n);
      BOOST_TEST(starts[0] == 0);
      BOOST_TEST(starts[3] == n);
      BOOST_TEST(std::is_sorted(starts.begin(), starts.end()));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_blend_keeps_its_proportions_at_every_length) {
  const std::vector<std::vector<double>> cases{
      {1}, {0.5, 0.5}, {3, 1}, {0.7, 0.2, 0.1}, {0, 1, 0, 2}, {1e-9, 1}, {5, 4, 3, 2, 1, 1e-5}};
  for (const auto& weights : cases) {
    const Blend blend(weights);
    std::vector<std::uint64_t> drawn(weights.size());
    const auto period = static_cast<double>(blend.period());
    for (std::uint64_t k = 0; k < 3 * blend.period() + 17; ++k) {
      const Blend::Draw draw = blend(k);
      BOOST_REQUIRE(draw.index == drawn[draw.source]);  // in the order of each source
      ++drawn[draw.source];
      for (std::size_t d = 0; d < weights.size(); ++d) {
        const double share = static_cast<double>(blend.draws_in_period(d)) / period;
        const double error = static_cast<double>(drawn[d]) - share * static_cast<double>(k + 1);
        BOOST_REQUIRE(std::abs(error) < static_cast<double>(weights.size()));
      }
    }
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (std::size_t d = 0; d < weights.size(); ++d) {
      const double share = static_cast<double>(blend.draws_in_period(d)) / period;
      BOOST_TEST((share > 0) == (weights[d] > 0));
      BOOST_TEST(std::abs(share - weights[d] / sum) <= 1.5 / period);
    }
  }
  BOOST_TEST(Blend({1, 1})(1ULL << 60U).index == 1ULL << 59U);
  BOOST_CHECK_THROW(Blend({0, 0}), Error);
  BOOST_CHECK_THROW(Blend({1, -1}), Error);
  BOOST_CHECK_THROW(Blend({NAN}), Error);
}

BOOST_AUTO_TEST_CASE(many_tiny_weights_still_get_a_draw) {
  std::vector<double> weights(3000, 1e-9);
  weights[5] = 1;
  const Blend blend(weights);
  std::uint64_t total = 0;
  for (std::size_t d = 0; d < weights.size(); ++d) {
    BOOST_TEST(blend.draws_in_period(d) >= 1U);
    total += blend.draws_in_period(d);
  }
  BOOST_TEST(total == blend.period());
}
