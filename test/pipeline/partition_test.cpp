// SPDX-License-Identifier: Apache-2.0
// Partitions of a model: some by hand, and others against every possible partition.
#include "trireme/pipeline/partition.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <utility>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

namespace trireme {
namespace {

std::vector<PipelineUnit> model(int layers, std::int64_t vocabulary = 1000) {
  std::vector<PipelineUnit> units = {{std::string(kEmbeddingUnit), vocabulary}};
  for (int i = 0; i < layers; ++i) units.push_back({std::string(kLayerUnit), 100});
  units.push_back({std::string(kNormUnit), 2});
  units.push_back({std::string(kHeadUnit), vocabulary});
  return units;
}

std::string message_of(const std::string& method, const std::vector<PipelineUnit>& units,
                       int parts) {
  try {
    (void)partition(method, units, parts);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Largest part and sum of squares of a partition.
std::pair<std::int64_t, std::int64_t> measure(const std::vector<PipelineUnit>& units,
                                              const std::vector<int>& bounds) {
  std::pair<std::int64_t, std::int64_t> result{0, 0};
  for (std::size_t p = 0; p + 1 < bounds.size(); ++p) {
    std::int64_t sum = 0;
    for (int i = bounds[p]; i < bounds[p + 1]; ++i) {
      sum += units[static_cast<std::size_t>(i)].parameters;
    }
    result.first = std::max(result.first, sum);
    result.second += sum * sum;
  }
  return result;
}

/// The best (largest part, sum of squares) of all partitions into non-empty parts.
std::pair<std::int64_t, std::int64_t> best_of_all(const std::vector<PipelineUnit>& units,
                                                  int parts) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  std::pair<std::int64_t, std::int64_t> best{kMost, kMost};
  std::vector<int> bounds = {0};
  const auto n = static_cast<int>(units.size());
  const std::function<void()> extend = [&] {
    const int left = parts - static_cast<int>(bounds.size());
    if (left == 0) {
      bounds.push_back(n);
      best = std::min(best, measure(units, bounds));
      bounds.pop_back();
      return;
    }
    for (int next = bounds.back() + 1; next <= n - left; ++next) {
      bounds.push_back(next);
      extend();
      bounds.pop_back();
    }
  };
  extend();
  return best;
}

void check_bounds(const std::vector<int>& bounds, int units, int parts) {
  BOOST_REQUIRE_EQUAL(bounds.size(), static_cast<std::size_t>(parts) + 1);
  BOOST_TEST(bounds.front() == 0);
  BOOST_TEST(bounds.back() == units);
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) BOOST_TEST(bounds[i] < bounds[i + 1]);
}

BOOST_AUTO_TEST_CASE(uniform_counts_units) {
  BOOST_TEST((partition("uniform", model(6), 2) == std::vector<int>{0, 5, 9}));
  BOOST_TEST((partition("uniform", model(6), 4) == std::vector<int>{0, 3, 5, 7, 9}));
  BOOST_TEST((partition("Uniform", model(6), 1) == std::vector<int>{0, 9}));
  BOOST_TEST((partition("uniform", model(1), 4) == std::vector<int>{0, 1, 2, 3, 4}));
}

BOOST_AUTO_TEST_CASE(type_counts_matches) {
  // The embedding goes with the first part, norm and head with the last.
  BOOST_TEST((partition("type:transformer|mlp", model(6), 2) == std::vector<int>{0, 4, 9}));
  BOOST_TEST((partition("type:TRANSFORMER", model(6), 3) == std::vector<int>{0, 3, 5, 9}));
  BOOST_TEST((partition("TYPE:Transformer", model(7), 3) == std::vector<int>{0, 4, 6, 10}));
  BOOST_TEST((partition("type:^embed|linearpipe$", model(6), 2) == std::vector<int>{0, 8, 9}));
  for (int layers = 1; layers <= 40; ++layers) {
    for (int parts = 1; parts <= layers; ++parts) {
      const auto bounds = partition("type:transformer", model(layers), parts);
      check_bounds(bounds, layers + 3, parts);
      for (std::size_t p = 0; p + 1 < bounds.size(); ++p) {
        const int first = std::max(bounds[p], 1);
        const int end = std::min(bounds[p + 1], layers + 1);
        BOOST_TEST((end - first == layers / parts || end - first == layers / parts + 1));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(parameters_balances_by_weight) {
  // 1000 | 6 × 100 + 2 | 1000: three parts separate the two tables.
  BOOST_TEST((partition("parameters", model(6), 3) == std::vector<int>{0, 1, 8, 9}));
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<PipelineUnit> units(1 + random() % 10);
    for (PipelineUnit& u : units) u = {"X", static_cast<std::int64_t>(random() % 20)};
    const auto n = static_cast<int>(units.size());
    for (int parts = 1; parts <= n; ++parts) {
      const auto bounds = partition("parameters", units, parts);
      check_bounds(bounds, n, parts);
      BOOST_TEST((measure(units, bounds) == best_of_all(units, parts)));
    }
  }
}

BOOST_AUTO_TEST_CASE(flops_balances_operations_and_not_parameters) {
  std::vector<PipelineUnit> units = model(6);
  for (PipelineUnit& u : units) u.operations = u.type == kLayerUnit ? 100 : 0;
  units.back().operations = 300;
  BOOST_TEST((partition("flops", units, 3) == std::vector<int>{0, 4, 8, 9}));
}

BOOST_AUTO_TEST_CASE(parameters_of_a_large_model) {
  // 96 layers of 1.8 billion parameters on 32 stages × 3 chunks.
  std::vector<PipelineUnit> units = model(96, 618'000'000);
  for (PipelineUnit& u : units) {
    if (u.type == kLayerUnit) u.parameters = 1'812'000'000;
  }
  const auto bounds = partition("parameters", units, 96);
  check_bounds(bounds, 99, 96);
  BOOST_TEST(measure(units, bounds).first == std::int64_t{1'812'000'000} + 618'000'000 + 2);
}

BOOST_AUTO_TEST_CASE(errors_say_what_is_wrong) {
  const std::string few = message_of("uniform", model(2), 6);
  BOOST_TEST(has(few, "5 layers"));
  BOOST_TEST(has(few, "6 parts"));
  const std::string matched = message_of("type:transformer", model(2), 4);
  BOOST_TEST(has(matched, "matches 2 layers"));
  BOOST_TEST(has(matched, "4 parts"));
  const std::string none = message_of("type:conv", model(2), 2);
  BOOST_TEST(has(none, "type:conv"));
  BOOST_TEST(has(none, "EmbeddingPipe, ParallelTransformerLayerPipe, NormPipe"));
  BOOST_TEST(has(message_of("type:(", model(2), 2), "not a regular expression"));
  const std::string method = message_of("profile", model(2), 2);
  BOOST_TEST(has(method, "'profile'"));
  BOOST_TEST(has(method, "'uniform', 'parameters', 'flops' and 'type:REGEX'"));
}

}  // namespace
}  // namespace trireme
