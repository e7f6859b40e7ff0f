// SPDX-License-Identifier: Apache-2.0
// Layouts without a fault: every mesh of the parity tests in every precision differs from one
// rank by less than a bound over kMargin.
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "../train/meshes.hpp"
#include "verified.hpp"

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

namespace {

constexpr double kMargin = 3;  // src/verify/bounds.cpp states it

struct Precision {
  std::string name;
  Json deck;
};
const std::array<Precision, 3> kPrecisions{
    {{"fp32", {{"precision", "fp32"}}},
     {"bf16", {{"precision", "bfloat16"}}},
     {"fp16", {{"precision", "fp16"}, {"fp16", {{"initial_scale_power", 10}}}}}}};

/// Model, ZeRO stage, accumulation, recompute and dropout alternate.
Json deck_of(const LeverMesh& mesh, std::size_t turn) {
  const bool several = turn % 2 == 0 || mesh.name == "pp3";  // as many as stages, and more
  Json more{{"gradient_accumulation_steps", several ? 4 : 1},
            {"zero_optimization",
             {{"stage", turn % 4}, {"reduce_once_per_step", turn % 4 == 1 && turn % 3 == 0}}}};
  if (turn % 5 == 0) more["checkpoint_activations"] = true;
  return merged(parity_deck(turn / 2 % kParityModels, turn % 3 == 0), mesh.deck, more);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(honest)

BOOST_DATA_TEST_CASE(a_layout_without_a_fault_agrees, bdata::make(parity_meshes()), mesh) {
  for (std::size_t p = 0; p < kPrecisions.size(); ++p) {
    const std::size_t turn = 3 * static_cast<std::size_t>(mesh.turn) + p + 1;
    const Json deck = merged(deck_of(mesh, turn), kPrecisions.at(p).deck);
    BOOST_TEST_CONTEXT(kPrecisions.at(p).name << " " << deck.dump()) {
      const VerifyReport report = verified(deck, mesh.ranks);
      BOOST_TEST(report.agrees);
      BOOST_TEST(report.notes.empty());
      for (const VerifyRow& row : report.rows) {
        BOOST_TEST(row.difference <= row.bound / kMargin,
                   name_of(row.kind) << " of " << row.tensor << ", step " << row.step << ": "
                                     << row.difference << " of " << row.bound);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(frozen_parameters_have_no_gradient_to_compare) {
  const LeverMesh mesh = mesh_of("dp2_pp2", {.dp = 2, .pp = 2});
  const Json choices[] = {{{"freeze", {"^layers.1"}}}, {{"lora", {{"rank", 2}}}}};
  for (const Json& choice : choices) {
    BOOST_TEST_CONTEXT(choice.dump()) {
      const Json more = merged(Json{{"precision", "bfloat16"}}, choice);
      const VerifyReport report =
          verified(merged(parity_deck(0, false), mesh.deck, more), mesh.ranks);
      BOOST_TEST(report.agrees);
      const std::string frozen = "layers.1.mlp.dense_4h_to_h.weight";
      const auto rows = [&](VerifyKind kind) {
        return std::ranges::count_if(report.rows, [&](const VerifyRow& row) {
          return row.kind == kind && row.tensor == frozen;
        });
      };
      BOOST_TEST(rows(VerifyKind::gradient) == 0);
      BOOST_TEST(rows(VerifyKind::master) == 0);
      BOOST_TEST(rows(VerifyKind::value) == 2);
    }
  }
}

BOOST_AUTO_TEST_CASE(every_tensor_and_unit_has_a_row) {
  const LeverMesh mesh = mesh_of("dp2_pp2", {.dp = 2, .pp = 2});
  const VerifyReport report = verified(
      merged(parity_deck(1, false), mesh.deck, {{"precision", "bfloat16"}}), mesh.ranks);
  const auto count = [&](VerifyKind kind) {
    return std::ranges::count(report.rows, kind, &VerifyRow::kind);
  };
  const std::ptrdiff_t parameters = 2 + 4 * 10 + 2;  // tied embeddings, layers, final norm
  BOOST_TEST(count(VerifyKind::output) == 2 * (1 + 4 + 1));
  BOOST_TEST(count(VerifyKind::loss) == 2);
  for (const VerifyKind kind : {VerifyKind::gradient, VerifyKind::master, VerifyKind::value}) {
    BOOST_TEST(count(kind) == 2 * parameters);
  }
}

BOOST_AUTO_TEST_CASE(a_step_that_overflows_is_named) {
  const LeverMesh mesh = mesh_of("dp2", {.dp = 2});
  const VerifyReport report =
      verified(merged(parity_deck(0, false), mesh.deck,
                      {{"precision", "fp16"}, {"fp16", {{"initial_scale_power", 32}}}}),
               mesh.ranks, {}, 1);
  BOOST_REQUIRE(report.notes.size() == 1U);
  BOOST_TEST(report.notes[0].find("step 1: gradients overflowed") == 0U);
  BOOST_TEST(report.agrees);
  const auto of_gradients = [](const VerifyRow& row) {
    return row.kind == VerifyKind::gradient;
  };
  BOOST_TEST(std::ranges::none_of(report.rows, of_gradients));
}

BOOST_AUTO_TEST_SUITE_END()
