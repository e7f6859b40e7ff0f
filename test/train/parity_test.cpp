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
constexpr double kFirstLossTolerance = 1e-7;
constexpr std::size_t kSteps = 20;

const Json kBase = Json::parse(R"({
  "num_layers": 4, "num_attention_heads": 4, "seq_length": 32, "train_batch_size": 16,
  "train_iters": 20, "lr": 2e-3, "min_lr": 1e-4, "warmup": 0.2, "weight_decay": 0.1,
  "gradient_clipping": 1.0, "seed": 1234, "eval_interval": 10, "eval_iters": 2})");

const std::array<Json, 4> kModels{
    Json::parse(R"({"hidden_size": 32, "pos_emb": "rotary", "rotary_pct": 0.25,
      "gpt_j_residual": true, "no_weight_tying": true, "init_method": "small_init",
      "output_layer_init_method": "wang_init", "lr_decay_style": "cosine"})"),
    Json::parse(R"({"hidden_size": 32, "pos_emb": "learned", "gpt_j_residual": true,
      "gpt_j_tied": true, "no_weight_tying": false, "bias_gelu_fusion": true,
      "init_method": "normal", "output_layer_init_method": "scaled_normal",
      "lr_decay_style": "linear", "zero_optimization": {"reduce_bucket_size": 3000}})"),
    Json::parse(R"({"hidden_size": 64, "num_attention_heads": 8, "num_kv_heads": 4,
      "pos_emb": "rotary", "norm": "rmsnorm", "activation": "swiglu",
      "intermediate_size": 240, "gpt_j_residual": false, "no_weight_tying": true,
      "use_bias_in_attn_linear": false, "use_bias_in_mlp": false,
      "init_method": "xavier_uniform", "output_layer_init_method": "xavier_normal",
      "lr_decay_style": "exponential"})"),
    Json::parse(R"({"hidden_size": 32, "pos_emb": "none", "activation": "geglu", "intermediate_size": 192,
      "gpt_j_residual": false, "no_weight_tying": false, "use_bias_in_norms": false,
      "init_method": "orthogonal", "output_layer_init_method": "scaled_orthogonal",
      "optimizer": {"type": "SGD", "params": {"momentum": 0.9}}, "lr": 0.05,
      "lr_decay_style": "constant", "gradient_clipping": 0})")};

const Json kDropout{{"hidden_dropout", 0.1}, {"attention_dropout", 0.1}};

std::vector<LeverMesh> meshes() {
  const auto with = [](const char* key, const Json& value) { return Json{{key, value}}; };
  const Json sequence = with("sequence_parallel", true);
  const Json interleaved = with("virtual_pipeline_chunks", 2);
  const char* const method = "pipe_partition_method";
  std::vector<LeverMesh> all{
      mesh_of("dp2", {.dp = 2}),
      mesh_of("dp4", {.dp = 4}),
      mesh_of("tp2", {.tp = 2}),
      mesh_of("tp4", {.tp = 4}),
      mesh_of("tp2_sp", {.tp = 2}, sequence),
      mesh_of("tp4_sp", {.tp = 4}, sequence),
      mesh_of("pp2", {.pp = 2}),
      mesh_of("pp4", {.pp = 4}, with(method, "uniform")),
      mesh_of("pp3", {.pp = 3}),  // uneven stages
      mesh_of("pp2_parameters", {.pp = 2}, with(method, "parameters")),
      mesh_of("pp4_gpipe", {.pp = 4}, with("pipeline_schedule", "gpipe")),
      mesh_of("pp2_interleaved", {.pp = 2}, interleaved),
      mesh_of("dp2_tp2", {.dp = 2, .tp = 2}),
      mesh_of("dp2_pp2", {.dp = 2, .pp = 2}, with(method, "type:embedding|transformer")),
      mesh_of("tp2_pp2", {.tp = 2, .pp = 2}),
      mesh_of("tp2_pp2_sp", {.tp = 2, .pp = 2}, sequence),
      mesh_of("dp2_tp2_pp2", {.dp = 2, .tp = 2, .pp = 2}),
      mesh_of("dp2_tp2_pp2_interleaved_sp", {.dp = 2, .tp = 2, .pp = 2},
              merged(interleaved, sequence))};
  for (std::size_t i = 0; i < all.size(); ++i) all[i].turn = static_cast<int>(i);
  return all;
}

Json deck_of(std::size_t model, bool dropout) {
  return merged(kBase, kModels.at(model), dropout ? kDropout : Json::object());
}

/// Makes one rank's run once. The loss of the run must fall.
const Training& reference(std::size_t model, bool dropout) {
  static std::map<std::pair<std::size_t, bool>, Training> made;
  Training& run = made[{model, dropout}];
  if (run.steps.empty()) {
    run = train(deck_of(model, dropout), 1);
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

void compare(const Training& got, const Training& expected) {
  BOOST_TEST(apart({got.losses().at(0)}, {expected.losses().at(0)}) <= kFirstLossTolerance);
  BOOST_TEST(apart(got.losses(), expected.losses()) <= kLossTolerance);
  BOOST_TEST(apart(got.norms(), expected.norms()) <= kNormTolerance);
  BOOST_TEST(apart(got.valid, expected.valid) <= kLossTolerance);
  for (std::size_t i = 0; i < got.steps.size(); ++i) {
    BOOST_TEST(got.steps[i].iteration == expected.steps[i].iteration);
    BOOST_TEST(got.steps[i].lr == expected.steps[i].lr);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(parity)

BOOST_DATA_TEST_CASE(a_mesh_trains_as_one_rank_does, bdata::make(meshes()), mesh) {
  const int several = mesh.name == "pp3" ? 8 : 4;  // more micro-batches than stages
  std::size_t turn = static_cast<std::size_t>(mesh.turn);
  for (const int accumulation : {1, several}) {
    for (const bool dropout : {false, true}) {
      const std::size_t model = turn++ % kModels.size();
      BOOST_TEST_CONTEXT("model " << model << " accumulation " << accumulation << " dropout "
                                  << dropout) {
        const Json deck = merged(deck_of(model, dropout), mesh.deck,
                                 {{"gradient_accumulation_steps", accumulation}});
        compare(train(deck, mesh.ranks), reference(model, dropout));
      }
    }
  }
}

BOOST_DATA_TEST_CASE(initial_weights_do_not_depend_on_the_mesh, bdata::make(meshes()), mesh) {
  static std::map<std::size_t, Training> one;
  const TrainOptions untrained{.until = 0};
  for (std::size_t model = 0; model < kModels.size(); ++model) {
    const Json deck = deck_of(model, false);
    Training& expected = one[model];
    if (expected.arrays.empty()) expected = train(deck, 1, untrained);
    const std::string off =
        array_difference(train(merged(deck, mesh.deck), mesh.ranks, untrained), expected);
    BOOST_TEST(off.empty(), "model " << model << ": " << off);
  }
}

BOOST_AUTO_TEST_SUITE_END()
