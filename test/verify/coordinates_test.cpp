// SPDX-License-Identifier: Apache-2.0
// The coordinate check: with muP no activation grows with the width, and without muP they do.
#include "trireme/verify/coordinates.hpp"

#include <cmath>
#include <mutex>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cpu.hpp"

#include "../train/training.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

const Json kDeck = Json::parse(R"({
  "num_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "seq_length": 16,
  "vocab_size": 67, "train_batch_size": 16, "train_iters": 10, "lr": 1e-2, "warmup": 0.5,
  "weight_decay": 0, "seed": 4, "pos_emb": "rotary", "no_weight_tying": true,
  "use_mup": true, "mup_base": {"hidden_size": 32}, "mup_attn_temp": 0.25})");

std::vector<CoordinateRow> measured(const Json& json, int ranks,
                                    std::span<const std::int64_t> widths) {
  Deck deck = parse_deck(json.dump(), "deck");
  resolve(deck, ranks);
  std::mutex mutex;
  std::vector<CoordinateRow> rows;
  const std::string problem = as_ranks(ranks, [&](Communicator& world) {
    set_cpu_threads(1);  // affects this thread alone
    const auto device = make_cpu_device();
    const auto stream = device->make_stream();
    const auto kernels = make_cpu_kernels();
    const Exec ex{*device, *kernels, *stream, deck.seed};
    const Mesh mesh(mesh_shape(deck, world.size()), world);
    auto mine = measure_coordinates({.ex = ex, .deck = deck, .mesh = mesh, .widths = widths});
    const std::scoped_lock lock(mutex);
    if (world.rank() == 0) rows = std::move(mine);
  });
  BOOST_TEST(problem.empty(), problem);
  return rows;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(coordinates)

BOOST_AUTO_TEST_CASE(sizes_grow_without_mup_alone) {
  for (const char* optimizer : {"AdamW", "Lion"}) {
    BOOST_TEST_CONTEXT(optimizer) {
      const Json more{{"optimizer", {{"type", optimizer}}},
                      {"lr", optimizer == std::string("Lion") ? 3e-3 : 1e-2}};
      const auto rows = measured(merged(kDeck, more), 1, kCoordinateWidths);
      const auto e = [&](bool mup, const char* unit) {
        return growth_exponent(rows, mup, kCoordinateUpdates, unit);
      };
      for (const char* unit : {"embed_in", "layers.0", "layers.1", "logits"}) {
        BOOST_TEST(e(true, unit) < 0.15, unit << ": " << e(true, unit));
        BOOST_TEST(e(true, unit) > -0.4, unit << ": " << e(true, unit));  // narrow bases
      }
      for (const char* unit : {"layers.0", "layers.1", "logits"}) {
        BOOST_TEST(e(false, unit) > 0.4, unit << ": " << e(false, unit));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_mesh_measures_what_one_rank_measures) {
  constexpr std::int64_t kWidths[] = {1, 2};
  const Json mesh{{"model_parallel_size", 2},
                  {"pipe_parallel_size", 2},
                  {"sequence_parallel", true},
                  {"gradient_accumulation_steps", 2},
                  {"zero_optimization", {{"stage", 1}}}};
  const Json sharded{{"zero_optimization", {{"stage", 3}}}};
  const auto one = measured(kDeck, 1, kWidths);
  for (const Json& more : {mesh, sharded}) {
    const auto all = measured(merged(kDeck, more), more == mesh ? 4 : 2, kWidths);
    BOOST_REQUIRE(all.size() == one.size());
    for (std::size_t i = 0; i < one.size(); ++i) {
      BOOST_TEST_CONTEXT(one[i].unit << ", " << one[i].updates << " updates") {
        BOOST_TEST(all[i].unit == one[i].unit);
        BOOST_TEST(all[i].width == one[i].width);
        BOOST_TEST(all[i].size == one[i].size, boost::test_tools::tolerance(1e-3));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(widths_grow_by_heads_or_by_their_width) {
  Deck deck = parse_deck(kDeck.dump(), "deck");
  const ModelConfig wide = coordinate_deck(deck, 4, true).model;
  BOOST_TEST(wide.hidden_size == 128);
  BOOST_TEST(wide.num_attention_heads == 2);
  BOOST_TEST(wide.head_dim() == 64);
  BOOST_TEST(wide.mlp_inner() == 512);
  deck.model.mup.num_attention_heads = 1;
  const ModelConfig more = coordinate_deck(deck, 4, false).model;
  BOOST_TEST(more.num_attention_heads == 4);
  BOOST_TEST(more.head_dim() == 32);
  BOOST_TEST(!more.mup.enabled);
}

BOOST_AUTO_TEST_SUITE_END()
