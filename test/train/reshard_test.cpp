// SPDX-License-Identifier: Apache-2.0
// A checkpoint of any stage of ZeRO, precision and mesh is loaded at any other. Masters and
// moments keep their bits, and all stages go on with the same bits. A restart at the same stage
// changes no bit, with dropout, accumulation and a loss scale that moves.
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/core/convert.hpp"

#include "../support/temporary_folder.hpp"
#include "../support/turns.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

constexpr int kSaved = 4;
constexpr int kMore = 3;
constexpr int kPower = 8;  // of the first loss scale, which doubles every two steps
const std::array kPrecisions{"fp32", "bfloat16", "fp16"};
const std::array kTypes{DType::f32, DType::bf16, DType::f16};

/// Tied embeddings are one tensor on both ends of a pipeline.
Json base_deck() {
  return merged(lever_model(0),
                {{"no_weight_tying", false},
                 {"num_layers", 2},
                 {"lr_decay_iters", 20},
                 {"eval_iters", 0},
                 {"gradient_accumulation_steps", 2},
                 {"fp16", {{"initial_scale_power", kPower}, {"loss_scale_window", 2}}}});
}

const LeverMesh& mesh_at(int turn) {
  static const std::vector<LeverMesh> all{
      mesh_of("one", {}),
      mesh_of("dp2", {.dp = 2}),
      mesh_of("dp2_tp2_sp", {.dp = 2, .tp = 2}, {{"sequence_parallel", true}}),
      mesh_of("dp4", {.dp = 4}),
      mesh_of("dp2_pp2", {.dp = 2, .pp = 2}),
      mesh_of("tp2_pp2", {.tp = 2, .pp = 2}),
      mesh_of("dp2_tp2", {.dp = 2, .tp = 2})};
  return all[static_cast<std::size_t>(turn) % all.size()];
}

Json deck_of(const LeverMesh& mesh, int stage, int layout, int precision, int until) {
  return merged(base_deck(), mesh.deck,
                {{"precision", kPrecisions.at(static_cast<std::size_t>(precision))},
                 {"train_iters", until},
                 {"zero_optimization",
                  merged(kLayouts.at(static_cast<std::size_t>(layout)), {{"stage", stage}})}});
}

/// Arrays of one kind, keyed by the tensor's name.
std::map<std::string, const WholeArray*> arrays_of(const Training& run,
                                                   const std::string& kind) {
  std::map<std::string, const WholeArray*> found;
  for (const auto& [name, array] : run.arrays) {
    if (name.starts_with(kind)) found[name.substr(kind.size())] = &array;
  }
  return found;
}

/// Values of full precision are their own masters.
std::map<std::string, const WholeArray*> masters_of(const Training& run) {
  auto masters = arrays_of(run, "optimizer/master/");
  return masters.empty() ? arrays_of(run, "model/") : masters;
}

std::vector<std::byte> rounded(const WholeArray& master, DType type) {
  std::vector<std::byte> out(master.covered.size() * size_of(type));
  narrow(master.values().data(), type, out.data(),
         static_cast<std::int64_t>(master.covered.size()));
  return out;
}

/// Compares what was loaded, before any step.
void check_state(const Training& before, const Training& loaded, DType type) {
  const auto masters = masters_of(before);
  const auto got = masters_of(loaded);
  BOOST_REQUIRE(masters.size() == got.size());
  for (const auto& [name, master] : masters) {
    BOOST_TEST((*got.at(name) == *master), name << " was loaded with other bits");
    BOOST_TEST((loaded.arrays.at("model/" + name).bytes == rounded(*master, type)));
    for (const char* kind : {"optimizer/exp_avg/", "optimizer/exp_avg_sq/"}) {
      const WholeArray& moment = before.arrays.at(kind + name);
      BOOST_TEST((loaded.arrays.at(kind + name) == moment), kind << name);
      const auto values = moment.values();
      BOOST_TEST(std::ranges::any_of(values, [](float v) { return v != 0; }));
    }
  }
  BOOST_TEST(loaded.optimizer_steps == before.optimizer_steps);
}

/// Trains on from a checkpoint at two stages of one mesh, which must give equal bits.
Training go_on(int writer, const std::string& from, int precision) {
  const LeverMesh& mesh = mesh_at(writer + 2 * precision + 1);
  Training expected;
  for (const int i : {0, 1 + writer % 3}) {
    const int stage = (writer + precision + i) % 4;
    Training run = train(deck_of(mesh, stage, writer, precision, kSaved + kMore), mesh.ranks,
                         {.load = from});
    BOOST_REQUIRE(run.steps.size() == static_cast<std::size_t>(kMore));
    BOOST_TEST(run.steps[0].iteration == kSaved + 1);
    if (i == 0) {
      expected = std::move(run);
      continue;
    }
    const std::string off = difference(run, expected);
    BOOST_TEST(off.empty(), mesh.name << " stage " << stage << ": " << off);
  }
  return expected;
}

void check_reader(int writer, int written, int precision, const std::string& from,
                  const Training& before, const Training& whole) {
  const auto type = kTypes.at(static_cast<std::size_t>(precision));
  const int stage = (writer + 2 + precision) % 4;
  const LeverMesh& mesh = mesh_at(writer + stage + 3);
  check_state(before,
              train(deck_of(mesh, stage, stage, precision, kSaved + 1), mesh.ranks,
                    {.load = from, .until = kSaved}),
              type);
  const Training later = go_on(writer, from, precision);
  const double allowed = written == 0 && precision == 0 ? 1e-5 : 5e-3;
  for (std::size_t i = 0; i < later.steps.size(); ++i) {
    const double expected = whole.steps.at(kSaved + i).loss;
    BOOST_TEST(std::abs(later.steps[i].loss - expected) <= allowed * expected);
  }
  if (precision == 2) {
    const int moved = written == 2 ? 2 : 0;
    BOOST_TEST(later.steps[0].loss_scale == std::ldexp(1.0, kPower + moved));
  }
}

/// Compares a run in two halves with a run without a stop, and returns the latter.
Training check_restart(int stage, int precision, const Json& more) {
  const LeverMesh& mesh = mesh_at(stage + 3 * (precision == 2 ? 1 : 0) + 1);
  const TemporaryFolder folder(memory_folder());
  const Json deck = merged(deck_of(mesh, stage, stage, precision, 10),
                           {{"gradient_accumulation_steps", 4}}, more);
  Training whole = train(deck, mesh.ranks);
  const Training part = train(deck, mesh.ranks, {.save = folder / "save", .until = 5});
  const Training rest = train(deck, mesh.ranks, {.load = folder / "save/global_step5"});
  BOOST_TEST(part.steps.size() == 5U);
  Training both = rest;
  both.steps = part.steps;
  both.steps.insert(both.steps.end(), rest.steps.begin(), rest.steps.end());
  const std::string off = difference(both, whole);
  BOOST_TEST(off.empty(), mesh.name << " stage " << stage << ": " << off);
  return whole;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(reshard)

BOOST_DATA_TEST_CASE(any_layout_and_precision_loads_any_other,
                     bdata::xrange(4) * bdata::xrange(3), writer, written) {
  const LeverMesh& mesh = mesh_at(writer + written);
  const TemporaryFolder folder(memory_folder());
  const Json deck = deck_of(mesh, writer, writer, written, kSaved + kMore);
  const Training before = train(deck, mesh.ranks, {.save = folder / "save", .until = kSaved});
  const Training whole = train(deck, mesh.ranks);
  for (int precision = 0; precision < 3; ++precision) {
    // Any two of stage, written and read precision meet in each way; all in the campaigns.
    if (!whole_products() && (writer + written + precision) % 2 != 0) continue;
    BOOST_TEST_CONTEXT("read in " << kPrecisions.at(static_cast<std::size_t>(precision))) {
      check_reader(writer, written, precision, folder / "save/global_step4", before, whole);
    }
  }
}

BOOST_DATA_TEST_CASE(a_restart_changes_no_bit, bdata::xrange(4), stage) {
  check_restart(stage, 0, Json::object());
  check_restart(stage, 1, Json::object());
  // The scale goes down, up, and down again: a restart must not begin it anew.
  const Training run = check_restart(stage, 2,
                                     {{"fp16",
                                       {{"initial_scale_power", 22},
                                        {"loss_scale_window", 2},
                                        {"hysteresis", 1 + stage % 2}}}});
  const auto skipped = run.skipped();
  BOOST_TEST(std::count(skipped.begin(), skipped.begin() + 5, true) > 0);
  BOOST_TEST(std::count(skipped.begin(), skipped.end(), false) > 0);
  const auto scales = run.scales();
  BOOST_TEST(std::set<double>(scales.begin(), scales.end()).size() > 2U);
}

BOOST_AUTO_TEST_SUITE_END()
