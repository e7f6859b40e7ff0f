// SPDX-License-Identifier: Apache-2.0
// Planted faults: each is found, and the first tensor or unit that differs is the faulty one.
#include "faults.hpp"

#include <boost/test/unit_test.hpp>

#include "../train/meshes.hpp"
#include "verified.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

constexpr auto kOutput = VerifyKind::output;
constexpr auto kGradient = VerifyKind::gradient;
constexpr auto kValue = VerifyKind::value;

Json deck_of(const LeverMesh& mesh, const Json& more, bool dropout = false) {
  return merged(parity_deck(0, dropout), mesh.deck, more);
}

Json stage(int number) { return {{"zero_optimization", {{"stage", number}}}}; }

/// Bounds are wider in half precision, and faults must exceed them all the same.
const char* const kPrecisions[] = {"fp32", "bfloat16", "fp16"};

Json in(const char* precision, Json deck) {
  return merged(std::move(deck), Json{{"precision", precision}});
}

/// Whether nothing differs in a step's row of this kind.
bool agrees(const VerifyReport& report, VerifyKind kind, int step) {
  const VerifyRow* row = report.first(kind);
  return row == nullptr || row->step > step;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(faults)

BOOST_AUTO_TEST_CASE(a_scaled_gradient_on_one_rank) {
  const std::string name = "layers.1.mlp.dense_4h_to_h.weight";
  for (const auto& mesh :
       {mesh_of("dp2_tp2", {.dp = 2, .tp = 2}), mesh_of("dp2_pp2", {.dp = 2, .pp = 2})}) {
    const Plant plant{.units = [&](auto& parts, const Mesh& at) {
      if (at.at.dp == 1 && at.at.tp == 0) {
        replace_unit<ScaledGradient>(parts, "layers.1", name, 1.1F);
      }
    }};
    const auto report = verified(deck_of(mesh, stage(1)), mesh.ranks, plant);
    BOOST_TEST(!report.agrees);
    BOOST_TEST(first_text(report, kGradient) == "gradient of " + name + ", step 1");
    BOOST_TEST(agrees(report, kOutput, 1));
  }
}

BOOST_AUTO_TEST_CASE(two_heads_swapped) {
  const auto mesh = mesh_of("tp2_pp2", {.tp = 2, .pp = 2}, {{"sequence_parallel", true}});
  const Plant plant{.units = [&](auto& parts, const Mesh& at) {
    if (at.at.tp == 1) replace_unit<SwappedHeads>(parts, "layers.2", std::int64_t{8});
  }};
  for (const char* precision : kPrecisions) {
    BOOST_TEST_CONTEXT(precision) {
      const auto report =
          verified(in(precision, deck_of(mesh, Json::object())), mesh.ranks, plant);
      BOOST_TEST(!report.agrees);
      BOOST_TEST(first_text(report, kOutput) == "output of layers.2, step 1");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_missing_sum_of_a_norms_gradient) {
  const std::string name = "layers.2.input_layernorm.weight";
  const auto mesh = mesh_of("dp2_tp2_sp", {.dp = 2, .tp = 2}, {{"sequence_parallel", true}});
  const Plant plant{.units = [&](auto& parts, const Mesh&) {
    for (auto& part : parts) {
      part->visit([&](Parameter& p) {
        if (p.name == name) p.sum_over = {};
      });
    }
  }};
  for (const char* precision : kPrecisions) {
    BOOST_TEST_CONTEXT(precision) {
      const auto report = verified(in(precision, deck_of(mesh, stage(2))), mesh.ranks, plant);
      BOOST_TEST(!report.agrees);
      BOOST_TEST(first_text(report, kGradient) == "gradient of " + name + ", step 1");
      BOOST_TEST(agrees(report, kOutput, 1));
    }
  }
}

BOOST_AUTO_TEST_CASE(stale_gathers_of_updated_values) {
  const auto mesh = mesh_of("dp2", {.dp = 2});
  const Plant plant{.mesh = [](Mesh& at) {
    if (at.at.dp == 1) at.dp = std::make_unique<StaleGathers>(std::move(at.dp), false);
  }};
  for (const char* precision : kPrecisions) {
    BOOST_TEST_CONTEXT(precision) {
      const auto report = verified(in(precision, deck_of(mesh, stage(1))), mesh.ranks, plant);
      BOOST_TEST(!report.agrees);
      BOOST_REQUIRE(report.first(kValue) != nullptr);
      BOOST_TEST(report.first(kValue)->rank == 1);
      BOOST_TEST(report.first(kValue)->step == 1);
      BOOST_TEST(agrees(report, kGradient, 1));
      if (precision != kPrecisions[0]) continue;  // one update rounds away in matrices
      BOOST_TEST(first_text(report, kValue) == "value of embed_in.weight, step 1");
      BOOST_TEST(first_text(report, kOutput) == "output of embed_in, step 2");
    }
  }
}

BOOST_AUTO_TEST_CASE(stale_gathers_at_stage_3) {
  const auto mesh = mesh_of("dp2", {.dp = 2});
  const Plant plant{.mesh = [](Mesh& at) {
    if (at.at.dp == 1) at.dp = std::make_unique<StaleGathers>(std::move(at.dp), true);
  }};
  const auto report =
      verified(deck_of(mesh, {{"zero_optimization",
                               {{"stage", 3}, {"stage3_param_persistence_threshold", 0}}}}),
               mesh.ranks, plant);
  BOOST_TEST(!report.agrees);
  BOOST_TEST(agrees(report, kOutput, 1));
  BOOST_TEST(agrees(report, kGradient, 1));
  BOOST_TEST(agrees(report, kValue, 1));
  BOOST_TEST(first_text(report, kOutput) == "output of embed_in, step 2");
  BOOST_TEST(report.first(kOutput)->rank == 1);
}

BOOST_AUTO_TEST_CASE(dropout_at_a_wrong_offset) {
  const auto mesh = mesh_of("dp2_tp2", {.dp = 2, .tp = 2});
  const Plant plant{.units = [](auto& parts, const Mesh& at) {
    if (at.at.tp == 1 && at.at.dp == 1) replace_unit<OtherDropout>(parts, "layers.3");
  }};
  const auto report = verified(deck_of(mesh, stage(0), true), mesh.ranks, plant);
  BOOST_TEST(!report.agrees);
  BOOST_TEST(first_text(report, kOutput) == "output of layers.3, step 1");
}

BOOST_AUTO_TEST_SUITE_END()
