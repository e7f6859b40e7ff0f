// SPDX-License-Identifier: Apache-2.0
// Training on a mesh is held against one rank: losses, gradient norms, evaluations, and the
// bits of initial weights. Every mesh trains four models that differ in all that is sharded.
// Accumulation and dropout alternate with the mesh.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "meshes.hpp"
#include "training.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

// The program promises 1e-5 on losses and 1e-4 on norms. Orders of sums cause 1e-8 and 1e-7.
constexpr double kLossTolerance = 1e-6;
constexpr double kNormTolerance = 1e-5;
/// Norms of queries and keys by row amplify rounding over 20 steps.
constexpr double kPartNormTolerance = 5e-5;
constexpr double kFirstLossTolerance = 1e-7;
constexpr std::size_t kSteps = 20;

/// Makes one rank's run once. The loss of the run must fall.
const Training& reference(std::size_t model, bool dropout) {
  static std::map<std::pair<std::size_t, bool>, Training> made;
  Training& run = made[{model, dropout}];
  if (run.steps.empty()) {
    run = train(parity_deck(model, dropout), 1);
    const auto loss = run.losses();
    BOOST_REQUIRE(loss.size() == kSteps);
    BOOST_TEST(loss.back() < loss.front() - 0.5);
  }
  return run;
}

/// Returns the largest relative difference, infinite if the numbers of entries differ.
double apart(const std::vector<double>& got, const std::vector<double>& expected) {
  if (got.size() != expected.size() || got.empty()) {
    return std::numeric_limits<double>::infinity();
  }
  double most = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i])) return std::numeric_limits<double>::infinity();
    most = std::max(most, std::abs(got[i] / expected[i] - 1));
  }
  return most;
}

void compare(const Training& got, const Training& expected,
             double norm_tolerance = kNormTolerance) {
  BOOST_TEST(apart({got.losses().at(0)}, {expected.losses().at(0)}) <= kFirstLossTolerance);
  BOOST_TEST(apart(got.losses(), expected.losses()) <= kLossTolerance);
  BOOST_TEST(apart(got.norms(), expected.norms()) <= norm_tolerance);
  BOOST_TEST(apart(got.valid, expected.valid) <= kLossTolerance);
  for (std::size_t i = 0; i < got.steps.size(); ++i) {
    BOOST_TEST(got.steps[i].iteration == expected.steps[i].iteration);
    BOOST_TEST(got.steps[i].lr == expected.steps[i].lr);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(parity)

BOOST_DATA_TEST_CASE(a_mesh_trains_as_one_rank_does, bdata::make(parity_meshes()), mesh) {
  const int several = mesh.name == "pp3" ? 8 : 4;  // more micro-batches than stages
  std::size_t turn = static_cast<std::size_t>(mesh.turn);
  for (const int accumulation : {1, several}) {
    for (const bool dropout : {false, true}) {
      const std::size_t model = turn++ % kParityModels;
      BOOST_TEST_CONTEXT("model " << model << " accumulation " << accumulation << " dropout "
                                  << dropout) {
        const Json deck = merged(parity_deck(model, dropout), mesh.deck,
                                 {{"gradient_accumulation_steps", accumulation}});
        compare(train(deck, mesh.ranks), reference(model, dropout));
      }
    }
  }
}

BOOST_DATA_TEST_CASE(a_mesh_trains_the_parts_of_families, bdata::make(parity_meshes()), mesh) {
  // Meshes with tp train all these models, others one of them in turn.
  const bool all = mesh.name.find("tp") != std::string::npos;
  for (std::size_t part = 0; part < kPartModels; ++part) {
    if (!all && part != static_cast<std::size_t>(mesh.turn) % kPartModels) continue;
    const std::size_t model = kParityModels + part;
    const bool dropout = (static_cast<std::size_t>(mesh.turn) + part) % 2 == 1;
    BOOST_TEST_CONTEXT("model " << model << " dropout " << dropout) {
      const Json deck = merged(parity_deck(model, dropout), mesh.deck,
                               {{"gradient_accumulation_steps", mesh.name == "pp3" ? 8 : 4}});
      compare(train(deck, mesh.ranks), reference(model, dropout), kPartNormTolerance);
    }
  }
}

BOOST_DATA_TEST_CASE(initial_weights_do_not_depend_on_the_mesh, bdata::make(parity_meshes()),
                     mesh) {
  static std::map<std::size_t, Training> one;
  const TrainOptions untrained{.until = 0};
  for (std::size_t model = 0; model < kParityModels + kPartModels; ++model) {
    const Json deck = parity_deck(model, false);
    Training& expected = one[model];
    if (expected.arrays.empty()) expected = train(deck, 1, untrained);
    const std::string off =
        array_difference(train(merged(deck, mesh.deck), mesh.ranks, untrained), expected);
    BOOST_TEST(off.empty(), "model " << model << ": " << off);
  }
}

BOOST_AUTO_TEST_SUITE_END()
