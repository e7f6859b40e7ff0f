// SPDX-License-Identifier: Apache-2.0
// Fine-tuning: frozen parameters, learning rates by name and low-rank adapters, on meshes with
// every stage of ZeRO, precision, accumulation and recomputation.
#include <algorithm>
#include <cmath>
#include <optional>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/train/merged_weights.hpp"

#include "../support/temporary_folder.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

/// What a deck adds, and whether a parameter trains then.
struct Choice {
  const char* name;
  Json deck;
  bool (*trains)(const std::string& parameter);
};
std::ostream& operator<<(std::ostream& out, const Choice& c) { return out << c.name; }

bool has(const std::string& name, std::string_view part) {
  return name.find(part) != std::string::npos;
}

const std::vector<Choice>& choices() {
  static const std::vector<Choice> all{
      {"the last unit",
       {{"train_only", "embed_out"}},
       [](const std::string& n) { return n == "embed_out.weight"; }},
      {"the first unit",
       {{"train_only", "embed_in"}},
       [](const std::string& n) { return n == "embed_in.weight"; }},
      {"a layer and norms, without biases",
       {{"train_only", {"^layers\\.1\\.", "norm"}}, {"freeze", "bias"}},
       [](const std::string& n) {
         return (n.starts_with("layers.1.") || has(n, "norm")) && !has(n, "bias");
       }},
      {"adapters",
       {{"lora", {{"rank", 3}, {"alpha", 6}, {"dropout", 0.1}}}},
       [](const std::string& n) { return has(n, "lora"); }},
      {"adapters of the last layer's attention, and the last norm",
       {{"lora", {{"rank", 2}, {"targets", {"query_key_value", "attention.dense"}}}},
        {"freeze", "layers.[013].*lora"},
        {"train_only", "final"}},
       [](const std::string& n) {
         return has(n, "final") || (n.starts_with("layers.2.attention") && has(n, "lora"));
       }}};
  return all;
}

const std::vector<LeverMesh>& meshes() {
  static const auto list = [] {
    const Json sequence{{"sequence_parallel", true}};
    const Json interleaved{{"num_layers", 4}, {"virtual_pipeline_chunks", 2}};
    std::vector<LeverMesh> all{
        mesh_of("dp2", {.dp = 2}),
        mesh_of("dp2_tp2_sp", {.dp = 2, .tp = 2}, sequence),
        mesh_of("dp2_pp2", {.dp = 2, .pp = 2}),
        mesh_of("pp3_gpipe", {.pp = 3}, {{"pipeline_schedule", "gpipe"}}),
        mesh_of("tp2_pp2", {.tp = 2, .pp = 2}),
        mesh_of("dp2_tp2_pp2_interleaved", {.dp = 2, .tp = 2, .pp = 2}, interleaved)};
    for (std::size_t i = 0; i < all.size(); ++i) all[i].turn = static_cast<int>(i);
    return all;
  }();
  return list;
}

/// An untied model of AdamW, without clipping: what is frozen then changes no other update.
Json deck_of(const Choice& choice, const Json& more = Json::object()) {
  return merged(lever_model(0), {{"gradient_clipping", 0}, {"train_iters", 3}}, choice.deck,
                more);
}

std::string parameter_of(const std::string& array) {
  return array.substr(array.rfind('/') + 1);
}

/// What does not train has the bits of the initial weights, and no state of the optimizer.
void check_frozen(const Training& run, const Training& start, const Choice& choice) {
  std::size_t trained = 0;
  for (const auto& [name, array] : run.arrays) {
    const std::string parameter = parameter_of(name);
    if (choice.trains(parameter)) {
      ++trained;
      if (name.starts_with("model/")) {
        BOOST_TEST(!(array == start.arrays.at(name)), name << " did not train");
      }
      continue;
    }
    BOOST_TEST(name.starts_with("model/"), name << " exists");
    BOOST_TEST((array == start.arrays.at(name)), name << " is frozen, and changed");
  }
  BOOST_TEST(trained > 0U);
}

double apart(const std::vector<double>& got, const std::vector<double>& expected) {
  BOOST_REQUIRE(got.size() == expected.size());
  double most = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    most = std::max(most, std::abs(got[i] / expected[i] - 1));
  }
  return most;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tuning)

BOOST_DATA_TEST_CASE(frozen_parameters_keep_their_bits, bdata::make(meshes()), mesh) {
  int turn = mesh.turn;
  for (const Choice& choice : choices()) {
    BOOST_TEST_CONTEXT(choice.name) {
      for (const bool half : {false, true}) {
        ++turn;
        const Json base =
            merged(deck_of(choice, mesh.deck), kRecompute[static_cast<std::size_t>(turn) % 4],
                   {{"precision", half ? "bfloat16" : "fp32"},
                    {"gradient_accumulation_steps", turn % 2 == 0 ? 1 : 4}});
        const auto with_stage = [&](int stage) {
          return merged(
              base, {{"zero_optimization", merged(kLayouts[static_cast<std::size_t>(turn) % 4],
                                                  {{"stage", stage}})}});
        };
        const Training start = train(with_stage(0), mesh.ranks, {.until = 0});
        const Training plain = train(with_stage(0), mesh.ranks);
        BOOST_TEST(plain.error.empty(), plain.error);
        check_frozen(plain, start, choice);
        const int stage = 1 + turn % 3;
        const std::string off = difference(train(with_stage(stage), mesh.ranks), plain);
        BOOST_TEST(off.empty(), "stage " << stage << ": " << off);
      }
    }
  }
}

BOOST_DATA_TEST_CASE(a_mesh_tunes_as_one_rank_does, bdata::make(meshes()), mesh) {
  for (const Choice& choice : choices()) {
    const Json deck = deck_of(choice, {{"train_iters", 6}});
    const Json layers{{"num_layers", mesh.deck.value("num_layers", 3)}};
    const Training one = train(merged(deck, layers), 1);
    const Training many =
        train(merged(deck, mesh.deck, {{"gradient_accumulation_steps", 4}}), mesh.ranks);
    BOOST_TEST_CONTEXT(choice.name) {
      BOOST_TEST(apart(many.losses(), one.losses()) <= 1e-6);
      BOOST_TEST(apart(many.norms(), one.norms()) <= 1e-5);
      BOOST_TEST(apart(many.valid, one.valid) <= 1e-6);
    }
  }
}

/// The first step's gradients don't depend on what else trains.
BOOST_DATA_TEST_CASE(trained_parameters_have_the_bits_of_full_training, bdata::make(choices()),
                     choice) {
  if (choice.deck.contains("lora")) return;
  const Json full = merged(lever_model(0), {{"gradient_clipping", 0}, {"train_iters", 3}});
  const Training all = train(full, 1, {.until = 1});
  const Training some = train(deck_of(choice), 1, {.until = 1});
  BOOST_TEST(some.losses().at(0) == all.losses().at(0));
  BOOST_TEST(some.norms().at(0) < all.norms().at(0));
  for (const auto& [name, array] : some.arrays) {
    if (!choice.trains(parameter_of(name))) continue;
    BOOST_TEST((array == all.arrays.at(name)), name << " has other bits");
  }
}

BOOST_AUTO_TEST_CASE(traffic_shrinks) {
  const auto elements = [](const Json& more, int stage) {
    const Json deck = merged(lever_model(0), more, {{"zero_optimization", {{"stage", stage}}}});
    const auto steps = train(deck, 2, {.until = 2}).steps;
    return std::pair(steps.at(1).reduced, steps.at(1).gathered);
  };
  // The head of 67 × 16 in a group of its own, of the multiple of 32 above.
  const std::int64_t head = 67 * 16 + 16;
  for (const int stage : {0, 1, 2}) {
    const auto [reduced, gathered] = elements({{"train_only", "embed_out"}}, stage);
    BOOST_TEST(reduced == head);
    BOOST_TEST(gathered == head);
    BOOST_TEST(elements(Json::object(), stage).first > 9 * head);
  }
}

BOOST_AUTO_TEST_CASE(an_overflow_in_training_of_a_part) {
  // fp16 begins with a scale that overflows. Only gradients that exist are looked at.
  const Json deck = deck_of(
      choices()[3],
      {{"precision", "fp16"}, {"train_iters", 20}, {"fp16", {{"initial_scale_power", 24}}}});
  const Training run = train(deck, 1);
  BOOST_TEST(run.error.empty(), run.error);
  BOOST_TEST(run.skipped().front());
  BOOST_TEST(!run.skipped().back());
  BOOST_TEST(has(run.steps.front().overflow, "lora"), run.steps.front().overflow);
}

BOOST_AUTO_TEST_CASE(a_restart_changes_no_bit) {
  const TemporaryFolder folder;
  for (const int stage : {0, 3}) {
    const Json deck = merged(deck_of(choices()[4]), mesh_of("", {.dp = 2, .pp = 2}).deck,
                             {{"train_iters", 6},
                              {"precision", stage == 0 ? "fp32" : "bfloat16"},
                              {"lr_groups", {{{"match", "lora_B"}, {"lr_scale", 2}}}},
                              {"zero_optimization", {{"stage", stage}}}});
    const std::string at = folder / std::to_string(stage);
    (void)train(deck, 4, {.save = at, .until = 3});
    const Training whole = train(deck, 4);
    const Training resumed = train(deck, 4, {.load = at + "/global_step3"});
    const std::string off = array_difference(resumed, whole);
    BOOST_TEST(off.empty(), off);
    BOOST_TEST(resumed.losses().back() == whole.losses().back());
  }
}

BOOST_AUTO_TEST_CASE(adapters_begin_beside_loaded_weights) {
  const TemporaryFolder folder;
  const Json base = merged(lever_model(0), {{"train_iters", 3}});
  const Training before = train(base, 1, {.save = folder / "run"});
  const Json tuned = deck_of(choices()[3], {{"precision", "bfloat16"}, {"seed", 5}});
  const LeverMesh mesh = mesh_of("", {.dp = 2, .tp = 2});
  const TrainOptions load{
      .load = folder / "run/global_step3", .weights_alone = true, .until = 0};
  const Training loaded = train(merged(tuned, mesh.deck), mesh.ranks, load);
  const Training fresh = train(merged(tuned, mesh.deck), mesh.ranks, {.until = 0});
  int adapters = 0;
  for (const auto& [name, array] : loaded.arrays) {
    if (has(name, "lora")) {
      ++adapters;
      BOOST_TEST((array == fresh.arrays.at(name)), name);
      continue;
    }
    BOOST_REQUIRE(name.starts_with("model/"));
    const auto got = array.values();
    const auto expected = before.arrays.at(name).values();
    for (std::size_t i = 0; i < got.size(); ++i) {
      BOOST_REQUIRE(std::abs(got[i] - expected[i]) <= std::abs(expected[i]) / 256);
    }
  }
  BOOST_TEST(adapters == 3 * 8 * 4);  // values, masters and two moments
}

/// A model with merged adapters has the loss that it had with adapters.
BOOST_AUTO_TEST_CASE(merged_weights_compute_the_same) {
  const TemporaryFolder folder;
  const Choice& choice = choices()[3];
  const Json deck = deck_of(choice, {{"eval_interval", 3},
                                     {"eval_iters", 2},
                                     {"lora", {{"alpha", 40}, {"use_rslora", true}}}});
  const Training tuned = train(deck, 2, {.save = folder / "run"});
  Json plain = deck;
  plain.erase("lora");
  const auto merge = [&](WeightSource& from) {
    return std::make_unique<MergedWeights>(
        from,
        LoraConfig{.rank = 3, .alpha = 40, .dropout = 0, .targets = {}, .use_rslora = true});
  };
  // One step at rate 0 leaves the weights alone, and the evaluation follows.
  const Training merged_run = train(merged(plain, {{"lr", 0}, {"eval_interval", 1}}), 2,
                                    {.load = folder / "run/global_step3",
                                     .weights_alone = true,
                                     .until = 1,
                                     .wrap_weights = merge});
  BOOST_REQUIRE(tuned.valid.size() == 1U && merged_run.valid.size() == 1U);
  BOOST_TEST(std::abs(merged_run.valid[0] - tuned.valid[0]) < 1e-6 * tuned.valid[0]);
  const Training base =
      train(merged(plain, {{"lr", 0}, {"eval_interval", 1}}), 2, {.until = 1});
  BOOST_TEST(std::abs(base.valid[0] - tuned.valid[0]) > 1e-3);
}

/// One update of AdamW (Loshchilov and Hutter, arXiv 1711.05101), from its arrays afterwards.
double updated(double value, double first, double second, double lr, double decay, int step) {
  const double m = first / (1 - std::pow(0.9, step));
  const double v = second / (1 - std::pow(0.999, step));
  return value - lr * decay * value - lr * m / (std::sqrt(v) + 1e-8);
}

BOOST_DATA_TEST_CASE(rates_and_decay_by_name, bdata::make({0, 2}), stage) {
  const Json groups = Json::parse(
      R"([{"match": "layers.0", "lr_scale": 0.1}, {"match": "norm", "weight_decay": 0.3},
          {"match": "layers.1.mlp", "lr_scale": 3, "weight_decay": 0}])");
  const Json deck = merged(
      lever_model(0), {{"gradient_clipping", 0},
                       {"lr_groups", groups},
                       {"zero_optimization", {{"stage", stage}, {"sub_group_size", 100}}}});
  const auto rule = [](const std::string& n) {
    const double usual = has(n, "bias") || has(n, "norm") ? 0 : 0.1;
    if (has(n, "layers.0")) return std::pair(0.1, usual);
    if (has(n, "norm")) return std::pair(1.0, 0.3);
    if (has(n, "layers.1.mlp")) return std::pair(3.0, 0.0);
    return std::pair(1.0, usual);
  };
  Training before = train(deck, 2, {.until = 0});
  for (int step = 1; step <= 3; ++step) {
    const Training after = train(deck, 2, {.until = step});
    const double lr = after.steps.back().lr;
    double worst = 0;
    for (const auto& [name, array] : after.arrays) {
      if (!name.starts_with("model/")) continue;
      const std::string parameter = parameter_of(name);
      const auto [scale, decay] = rule(parameter);
      const auto old = before.arrays.at(name).values();
      const auto first = after.arrays.at("optimizer/exp_avg/" + parameter).values();
      const auto second = after.arrays.at("optimizer/exp_avg_sq/" + parameter).values();
      const auto got = array.values();
      for (std::size_t i = 0; i < got.size(); ++i) {
        const double expected =
            updated(static_cast<double>(old[i]), static_cast<double>(first[i]),
                    static_cast<double>(second[i]), lr * scale, decay, step);
        worst = std::max(worst, std::abs(static_cast<double>(got[i]) - expected));
      }
    }
    BOOST_TEST(worst < 3e-7, "step " << step << ": " << worst);
    before = after;
  }
}

BOOST_AUTO_TEST_SUITE_END()
