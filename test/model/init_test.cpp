// SPDX-License-Identifier: Apache-2.0
// Initial weights: equal on every mesh, with the right distribution, orthogonal where promised.
#include "trireme/model/init.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/random.hpp"

namespace trireme {
namespace {

constexpr std::uint64_t kSeed = 1234567890123ULL;
constexpr InitMethod kMethods[] = {InitMethod::normal,
                                   InitMethod::scaled_normal,
                                   InitMethod::single_residual_scaled_normal,
                                   InitMethod::small_init,
                                   InitMethod::wang_init,
                                   InitMethod::xavier_uniform,
                                   InitMethod::xavier_normal,
                                   InitMethod::orthogonal,
                                   InitMethod::scaled_orthogonal,
                                   InitMethod::zeros,
                                   InitMethod::ones};

InitRule rule_of(InitMethod method) { return {method, 0.02, 6, 512}; }

template <class T = float>
std::vector<T> part(const Box& box, const Shape& global, const InitRule& rule,
                    const std::string& name = "w", std::uint64_t seed = kSeed) {
  std::vector<T> values(static_cast<std::size_t>(box.count()), T{-77});
  fill_initial(View(values.data(), kDTypeOf<T>, box.extent), box, global, name, rule, seed);
  return values;
}

template <class T = float>
std::vector<T> whole(const Shape& global, const InitRule& rule, const std::string& name = "w",
                     std::uint64_t seed = kSeed) {
  return part<T>(Box::whole(global), global, rule, name, seed);
}

struct Moments {
  double mean = 0;
  double variance = 0;
  double kurtosis = 0;
};

Moments moments_of(const std::vector<float>& x) {
  Moments m;
  const auto n = static_cast<double>(x.size());
  for (const float v : x) m.mean += static_cast<double>(v) / n;
  double fourth = 0;
  for (const float v : x) {
    const double d = static_cast<double>(v) - m.mean;
    m.variance += d * d / n;
    fourth += d * d * d * d / n;
  }
  m.kurtosis = fourth / (m.variance * m.variance);
  return m;
}

double correlation(const std::vector<float>& x, const std::vector<float>& y, std::size_t lag) {
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i + lag < x.size(); ++i) {
    sum += static_cast<double>(x[i]) * static_cast<double>(y[i + lag]);
    squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  return sum / squares;
}

BOOST_AUTO_TEST_CASE(a_part_equals_the_same_part_of_the_whole) {
  std::mt19937 random(5);
  for (const InitMethod method : kMethods) {
    BOOST_TEST_INFO_SCOPE("method " << static_cast<int>(method));
    const Shape global{23, 17};
    const auto all = whole(global, rule_of(method));
    for (int round = 0; round < 50; ++round) {
      Box box = Box::whole(global);
      for (int axis = 0; axis < 2; ++axis) {
        box.offset[axis] = static_cast<std::int64_t>(random()) % global[axis];
        box.extent[axis] =
            static_cast<std::int64_t>(random()) % (global[axis] - box.offset[axis] + 1);
      }
      const auto some = part(box, global, rule_of(method));
      for (std::int64_t r = 0; r < box.extent[0]; ++r) {
        BOOST_REQUIRE(
            std::equal(some.begin() + r * box.extent[1], some.begin() + (r + 1) * box.extent[1],
                       all.begin() + (box.offset[0] + r) * global[1] + box.offset[1]));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(other_ranks_and_strides) {
  const InitRule rule = rule_of(InitMethod::normal);
  const auto line = whole(Shape{391}, rule);
  BOOST_TEST((line == whole(Shape{23, 17}, rule)));  // the key is the linear index
  const auto piece = part(Box{Shape{101}, Shape{50}}, Shape{391}, rule);
  BOOST_TEST(std::equal(piece.begin(), piece.end(), line.begin() + 101));
  const Shape cube{3, 5, 7};
  const auto all = whole(cube, rule);
  const Box box{Shape{1, 2, 3}, Shape{2, 2, 4}};
  const auto some = part(box, cube, rule);
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      for (int k = 0; k < 4; ++k) {
        BOOST_TEST(some[static_cast<std::size_t>((i * 2 + j) * 4 + k)] ==
                   all[static_cast<std::size_t>(((1 + i) * 5 + 2 + j) * 7 + 3 + k)]);
      }
    }
  }
  // A window with gaps between its rows: elements in the gaps stay.
  std::vector<float> wide(23 * 20, -77.0F);
  fill_initial(View(wide.data(), DType::f32, Shape{23, 17}, 20), Box::whole(Shape{23, 17}),
               Shape{23, 17}, "w", rule, kSeed);
  for (std::size_t r = 0; r < 23; ++r) {
    for (std::size_t c = 0; c < 20; ++c) {
      BOOST_TEST(wide[r * 20 + c] == (c < 17 ? line[r * 17 + c] : -77.0F));
    }
  }
}

BOOST_AUTO_TEST_CASE(fp64_holds_the_same_numbers) {
  for (const InitMethod method : kMethods) {
    const auto single = whole(Shape{16, 12}, rule_of(method));
    const auto twice = whole<double>(Shape{16, 12}, rule_of(method));
    BOOST_TEST(std::equal(single.begin(), single.end(), twice.begin(),
                          [](float a, double b) { return static_cast<double>(a) == b; }));
  }
}

BOOST_AUTO_TEST_CASE(normal_draws_by_hand) {
  // Box and Muller in fp64: angle from the first word, radius from the second.
  const auto values = whole(Shape{100000}, {InitMethod::normal, 1.0, 1, 1});
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); i += 2) {
    const auto w = philox({kSeed, stream_of("w")}, i / 4);
    const double angle = 2 * std::numbers::pi * static_cast<double>(w[i % 4]) * 0x1p-32;
    const double u = (static_cast<double>(w[i % 4 + 1] >> 1U) + 0.5) * 0x1p-31;
    const double radius = std::sqrt(-2 * std::log(u));
    worst =
        std::max({worst, std::fabs(static_cast<double>(values[i]) - radius * std::sin(angle)),
                  std::fabs(static_cast<double>(values[i + 1]) - radius * std::cos(angle))});
  }
  BOOST_TEST(worst < 1e-5);
}

BOOST_AUTO_TEST_CASE(the_first_weights_never_change) {
  // The bits of a given seed: resumed runs, and repeated runs on other machines, rely on these.
  const auto values = whole(Shape{6}, {InitMethod::normal, 1.0, 1, 1});
  const std::uint32_t bits[] = {3211549245, 1064639196, 3221342900,
                                3222274018, 3183113875, 3211520138};
  for (std::size_t i = 0; i < 6; ++i) {
    BOOST_TEST(std::bit_cast<std::uint32_t>(values[i]) == bits[i]);
  }
}

BOOST_AUTO_TEST_CASE(normal_draws_are_normal) {
  const auto x = whole(Shape{1000, 1000}, {InitMethod::normal, 1.0, 1, 1});
  const Moments m = moments_of(x);
  BOOST_CHECK_SMALL(m.mean, 4e-3);  // four standard errors of a million draws
  BOOST_CHECK_SMALL(m.variance - 1, 4 * std::sqrt(2.0) * 1e-3);
  BOOST_CHECK_SMALL(m.kurtosis - 3, 4 * std::sqrt(24.0) * 1e-3);
  for (const std::size_t lag : {1U, 2U, 3U, 4U, 1000U}) {
    BOOST_CHECK_SMALL(correlation(x, x, lag), 4e-3);
  }
  // Φ(−3) … Φ(3): the counts of a million, within four standard errors.
  const double share[] = {0.0013499, 0.0227501, 0.1586553, 0.5,
                          0.8413447, 0.9772499, 0.9986501};
  for (int i = 0; i < 7; ++i) {
    const auto below = static_cast<double>(std::count_if(
        x.begin(), x.end(), [&](float v) { return v < static_cast<float>(i - 3); }));
    BOOST_CHECK_SMALL(below / 1e6 - share[i], 4e-3 * std::sqrt(share[i] * (1 - share[i])));
  }
  const auto other_name = whole(Shape{1000, 1000}, {InitMethod::normal, 1.0, 1, 1}, "v");
  const auto other_seed =
      whole(Shape{1000, 1000}, {InitMethod::normal, 1.0, 1, 1}, "w", kSeed + 1);
  BOOST_CHECK_SMALL(correlation(x, other_name, 0), 4e-3);
  BOOST_CHECK_SMALL(correlation(x, other_seed, 0), 4e-3);
}

BOOST_AUTO_TEST_CASE(standard_deviations) {
  const std::pair<InitMethod, double> expected[] = {
      {InitMethod::normal, 0.02},
      {InitMethod::scaled_normal, 0.02 / std::sqrt(12.0)},
      {InitMethod::single_residual_scaled_normal, 0.02 / std::sqrt(6.0)},
      {InitMethod::small_init, std::sqrt(2.0 / 2560)},
      {InitMethod::wang_init, 2 / (6 * std::sqrt(512.0))},
      {InitMethod::xavier_normal, std::sqrt(2.0 / 1000)},
      {InitMethod::xavier_uniform, std::sqrt(2.0 / 1000)}};
  for (const auto& [method, std] : expected) {
    BOOST_TEST_INFO_SCOPE("method " << static_cast<int>(method));
    const Moments m = moments_of(whole(Shape{600, 400}, rule_of(method)));
    BOOST_CHECK_SMALL(m.mean / std, 4 / std::sqrt(240000.0));
    BOOST_CHECK_CLOSE(std::sqrt(m.variance), std, 0.6);
  }
}

BOOST_AUTO_TEST_CASE(xavier_uniform_fills_its_interval) {
  const auto x = whole(Shape{600, 400}, rule_of(InitMethod::xavier_uniform));
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const double bound = std::sqrt(6.0 / 1000);
  BOOST_TEST(static_cast<double>(*low) >= -bound);
  BOOST_TEST(static_cast<double>(*high) <= bound);
  BOOST_TEST(static_cast<double>(*high - *low) > 2 * bound * 0.9999);
  BOOST_CHECK_SMALL(moments_of(x).kurtosis - 1.8, 0.02);
}

/// Largest difference of A Aᵀ (or Aᵀ A, by the shorter side) from gain² · 1.
double distance_from_orthogonal(const std::vector<float>& a, int rows, int cols, double gain) {
  const bool tall = rows >= cols;
  const int n = tall ? cols : rows;
  const int length = tall ? rows : cols;
  const auto at = [&](int vector, int i) {
    return static_cast<double>(
        a[static_cast<std::size_t>(tall ? i * cols + vector : vector * cols + i)]);
  };
  double worst = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      double dot = 0;
      for (int k = 0; k < length; ++k) dot += at(i, k) * at(j, k);
      worst = std::max(worst, std::fabs(dot - (i == j ? gain * gain : 0)));
    }
  }
  return worst;
}

BOOST_AUTO_TEST_CASE(orthogonal_matrices) {
  for (const auto& [rows, cols] : {std::pair{40, 40}, std::pair{60, 25}, std::pair{25, 60}}) {
    const Shape shape{rows, cols};
    const auto full = whole(shape, rule_of(InitMethod::orthogonal));
    BOOST_TEST(distance_from_orthogonal(full, rows, cols, std::sqrt(2.0)) < 1e-6);
    const auto scaled = whole(shape, rule_of(InitMethod::scaled_orthogonal));
    BOOST_TEST(distance_from_orthogonal(scaled, rows, cols, std::sqrt(2.0 / 6)) < 1e-6);
  }
}

BOOST_AUTO_TEST_CASE(orthogonal_is_the_factor_with_positive_diagonal) {
  // Q of A = Q R is unique if R is upper triangular and has a positive diagonal.
  const int n = 12;
  const auto a = whole(Shape{n, n}, {InitMethod::normal, 1.0, 1, 1});
  const auto q = whole(Shape{n, n}, {InitMethod::scaled_orthogonal, 1.0, 2, 1});  // gain 1
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j <= i; ++j) {
      double r = 0;
      for (int k = 0; k < n; ++k) {
        r += static_cast<double>(q[static_cast<std::size_t>(k * n + i)]) *
             static_cast<double>(a[static_cast<std::size_t>(k * n + j)]);
      }
      if (i == j) {
        BOOST_TEST(r > 1e-3);
      } else {
        BOOST_CHECK_SMALL(r, 1e-5);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(constants) {
  for (const float v : whole(Shape{9}, rule_of(InitMethod::zeros))) BOOST_TEST(v == 0.0F);
  for (const float v : whole(Shape{9}, rule_of(InitMethod::ones))) BOOST_TEST(v == 1.0F);
}

BOOST_AUTO_TEST_CASE(rule_from_a_model) {
  ModelConfig model;
  model.num_layers = 7;
  model.hidden_size = 96;
  model.init_method_std = 0.3;
  const InitRule rule = init_rule(model, InitMethod::wang_init);
  BOOST_TEST((rule.method == InitMethod::wang_init));
  BOOST_TEST(rule.std == 0.3);
  BOOST_TEST(rule.num_layers == 7);
  BOOST_TEST(rule.hidden_size == 96);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused) {
  std::vector<float> m(12);
  const View local(m.data(), DType::f32, Shape{3, 4});
  const InitRule rule = rule_of(InitMethod::normal);
  const auto fill = [&](const Box& box, const Shape& global, const InitRule& r) {
    fill_initial(local, box, global, "w", r, kSeed);
  };
  BOOST_CHECK_THROW(fill({Shape{1, 0}, Shape{3, 4}}, Shape{3, 4}, rule), Error);
  BOOST_CHECK_THROW(fill({Shape{0, 0}, Shape{4, 3}}, Shape{9, 9}, rule), Error);
  BOOST_CHECK_THROW((void)whole(Shape{12}, rule_of(InitMethod::orthogonal)), Error);
  BOOST_CHECK_THROW((void)whole(Shape{12}, rule_of(InitMethod::xavier_normal)), Error);
  std::vector<std::int32_t> integers(4);
  BOOST_CHECK_THROW(fill_initial(View(integers.data(), DType::i32, Shape{4}),
                                 Box::whole(Shape{4}), Shape{4}, "w", rule, kSeed),
                    Error);
}

}  // namespace
}  // namespace trireme
