// SPDX-License-Identifier: Apache-2.0
// Optimizers that compress: runs repeat and restart to the bit, go on at another dp and without
// compression, and learn as well as plain Adam.
#include <algorithm>
#include <cmath>
#include <cstring>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

constexpr std::int64_t kFreeze = 3;
const std::string kZeroOne = "ZeroOneAdam";

/// Model 0 has biases and an untied head, and model 2 a tied embedding and a gated mlp.
Json deck_of(int model, const Json& mesh, const std::string& type = "OneBitAdam",
             const Json& more = Json::object(), double lr = 1e-2) {
  Json base = lever_model(model);
  for (const char* key : {"lr", "optimizer"}) base.erase(key);
  Json params{{"lr", lr}};
  if (type.starts_with("OneBit")) params["freeze_step"] = kFreeze;
  if (type == "ZeroOneAdam") {  // exact, exact, signs, mean, local, mean, local, mean
    params.update({{"var_freeze_step", kFreeze}, {"var_update_scaler", 1}});
    params.update({{"local_step_scaler", 1}, {"local_step_clipper", 2}});
  }
  if (type == "AdamW") params["bias_correction"] = false;
  return merged(base, mesh, {{"optimizer", {{"type", type}, {"params", params}}}},
                {{"num_layers", 2},
                 {"eval_iters", 0},
                 {"train_iters", 8},
                 {"gradient_accumulation_steps", 2},
                 {"lr_decay_iters", 20},
                 {"warmup", 0}},
                more);
}

struct Case {
  LeverMesh mesh;
  int model;
  const char* precision;
  const char* optimizer = "OneBitAdam";
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.mesh.name << ' ' << c.precision << ' ' << c.optimizer;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {mesh_of("dp2", {.dp = 2}), 0, "fp32"},
      {mesh_of("dp4", {.dp = 4}), 2, "bfloat16"},
      {mesh_of("dp2_tp2_sp", {.dp = 2, .tp = 2}, {{"sequence_parallel", true}}), 0, "fp16"},
      {mesh_of("dp2_pp2", {.dp = 2, .pp = 2}), 2, "fp32"},
      {mesh_of("dp2_tp2_pp2", {.dp = 2, .tp = 2, .pp = 2}), 2, "bfloat16"},
      {mesh_of("dp4", {.dp = 4}), 0, "fp16", "OneBitLamb"},
      {mesh_of("dp2_tp2_pp2", {.dp = 2, .tp = 2, .pp = 2}), 2, "fp32", "OneBitLamb"},
      {mesh_of("dp2_tp2_sp", {.dp = 2, .tp = 2}, {{"sequence_parallel", true}}), 0, "bfloat16",
       "OneBitLamb"},
      {mesh_of("dp4", {.dp = 4}), 2, "bfloat16", "ZeroOneAdam"},
      {mesh_of("dp2_tp2_pp2", {.dp = 2, .tp = 2, .pp = 2}), 2, "fp16", "ZeroOneAdam"},
      {mesh_of("dp2_tp2_sp", {.dp = 2, .tp = 2}, {{"sequence_parallel", true}}), 0, "fp32",
       "ZeroOneAdam"}};
  return all;
}

double sum_of(const WholeArray& array) {
  double sum = 0;
  for (const float v : array.values()) sum += v;
  return sum;
}

/// Arrays whose names begin so.
std::size_t count_of(const Training& run, const std::string& start) {
  std::size_t n = 0;
  for (const auto& [name, array] : run.arrays) n += name.starts_with(start) ? 1 : 0;
  return n;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(compressed)

BOOST_DATA_TEST_CASE(runs_repeat_and_restart_to_the_bit, bdata::make(cases()), one) {
  const TemporaryFolder folder(memory_folder());
  Json more{{"precision", one.precision}};
  // A scale so high that the first step after freezing may overflow, too.
  if (std::string(one.precision) == "fp16") more["fp16"] = {{"initial_scale_power", 20}};
  const double lr = one.optimizer == kZeroOne ? 1e-3 : 1e-2;  // two updates make its variance
  const Json deck = deck_of(one.model, one.mesh.deck, one.optimizer, more, lr);
  const Training whole = train(deck, one.mesh.ranks);
  BOOST_TEST(whole.error.empty(), whole.error);
  BOOST_TEST(whole.steps.back().loss < whole.steps.front().loss);
  BOOST_TEST((whole.steps.front().compressed == 0 && whole.steps.front().reduced > 0));
  BOOST_TEST(whole.steps.back().reduced == 0);
  // 0/1 Adam's local steps send nothing, and skipped steps change which updates are local.
  const bool sends = std::ranges::any_of(
      whole.steps, [](const auto& step) { return step.compressed > 0 && step.reduced == 0; });
  BOOST_TEST(sends);
  BOOST_TEST((whole.steps.back().compressed > 0 || one.optimizer == kZeroOne));
  const Training again = train(deck, one.mesh.ranks, {.delays = 7});
  const std::string other = difference(again, whole);
  BOOST_TEST(other.empty(), other);
  for (const std::int64_t at : {kFreeze - 1, kFreeze + 2}) {
    const std::string save = folder / fmt::format("at{}", at);
    static_cast<void>(train(deck, one.mesh.ranks, {.save = save, .until = at}));
    const Training later =
        train(deck, one.mesh.ranks, {.load = fmt::format("{}/global_step{}", save, at)});
    const std::string off = array_difference(later, whole);
    BOOST_TEST(off.empty(), "restart at " << at << ": " << off);
    BOOST_TEST(later.steps.back().loss == whole.steps.back().loss);
  }
}

BOOST_DATA_TEST_CASE(a_run_goes_on_at_another_mesh_and_without_compression,
                     bdata::make({"OneBitAdam", "OneBitLamb", "ZeroOneAdam"}), optimizer) {
  const TemporaryFolder folder(memory_folder());
  const auto deck = [&](const Json& mesh, const std::string& type = "") {
    return deck_of(0, mesh, type.empty() ? optimizer : type,
                   {{"hidden_dropout", 0}, {"attention_dropout", 0}},
                   optimizer == kZeroOne ? 1e-4 : 1e-3);
  };
  const Json whole_deck = deck(mesh_of("dp4", {.dp = 4}).deck);
  const Training whole = train(whole_deck, 4);
  const bool local = optimizer == kZeroOne;  // saved in the middle of local steps
  const std::int64_t at = local ? 5 : 6;
  const Training half = train(whole_deck, 4, {.save = folder / "save", .until = at});
  const std::string saved = folder / fmt::format("save/global_step{}", at);
  BOOST_TEST(count_of(half, "optimizer/worker_error/") > 10);
  BOOST_TEST(count_of(half, "optimizer/server_error/") ==
             count_of(half, "optimizer/worker_error/"));

  const LeverMesh two = mesh_of("dp2_tp2", {.dp = 2, .tp = 2});
  const Training loaded = train(deck(two.deck), 4, {.load = saved, .until = at});
  for (const auto& [name, array] : half.arrays) {
    const WholeArray& now = loaded.arrays.at(name);
    if (name.starts_with("optimizer/worker_error/") ||
        (local && (name.starts_with("optimizer/local_exp") ||
                   name.starts_with("optimizer/local_change")))) {
      BOOST_TEST(array.shape[0] == 4);
      BOOST_TEST(now.shape[0] == 2);
      // The mean over ranks stays.
      const double mean = sum_of(array) / 4;
      BOOST_TEST(std::abs(sum_of(now) / 2 - mean) <=
                 1e-5 * (std::abs(mean) + static_cast<double>(array.covered.size()) * 1e-3));
    } else {
      BOOST_TEST((now == array), name << " has other bits");
    }
  }

  const auto near = [&](const Training& run, const std::string& what) {
    BOOST_REQUIRE(run.steps.size() == whole.steps.size() - static_cast<std::size_t>(at));
    for (std::size_t i = 0; i < run.steps.size(); ++i) {
      const double loss = whole.steps.at(static_cast<std::size_t>(at) + i).loss;
      // The first loss comes before any update.
      const double slack = i == 0 && !local ? 2e-5 : 0.02;
      BOOST_TEST(std::abs(run.steps[i].loss - loss) <= slack * loss,
                 what << ": " << run.steps[i].loss << " beside " << loss);
    }
  };
  near(train(deck(two.deck), 4, {.load = saved}), "dp 2");
  near(train(deck(Json::object()), 1, {.load = saved}), "one rank");
  if (optimizer == std::string("OneBitLamb")) return;
  near(train(deck(two.deck, "AdamW"), 4, {.load = saved}), "AdamW");
}

BOOST_AUTO_TEST_CASE(compressed_runs_learn_as_well_as_plain_adam) {
  const LeverMesh two = mesh_of("dp2", {.dp = 2});
  const Json more{{"train_iters", 60},      {"lr_decay_iters", 60}, {"hidden_dropout", 0},
                  {"attention_dropout", 0}, {"eval_interval", 60},  {"eval_iters", 4}};
  Json deck = deck_of(0, two.deck, "OneBitAdam", more);
  deck["optimizer"]["params"] = {{"lr", 2e-3}, {"freeze_step", 20}};
  Json zero_one = deck_of(0, two.deck, kZeroOne, more);
  zero_one["optimizer"]["params"] = {{"lr", 2e-3},
                                     {"var_freeze_step", 20},
                                     {"var_update_scaler", 4},
                                     {"local_step_scaler", 10},
                                     {"local_step_clipper", 4}};
  Json plain = deck_of(0, two.deck, "AdamW", more);
  plain["optimizer"]["params"] = {{"lr", 2e-3}, {"bias_correction", false}};
  const Training compressed = train(deck, 2);
  const Training exact = train(plain, 2);
  const double first = exact.steps.front().loss;
  const double learned = first - exact.valid.back();
  BOOST_TEST(learned > 0.3);
  const Training local = train(zero_one, 2);
  for (const Training* run : {&compressed, &local}) {
    BOOST_TEST(first - run->valid.back() > 0.9 * learned,
               run->valid.back() << " beside " << exact.valid.back() << " from " << first);
  }
}

BOOST_AUTO_TEST_CASE(one_rank_compresses_nothing) {
  const Training one = train(deck_of(0, Json::object()), 1);
  BOOST_TEST(one.steps.back().compressed == 0);
  BOOST_TEST(one.steps.back().loss < one.steps.front().loss);
  BOOST_TEST(count_of(one, "optimizer/worker_error/") == 0U);
}

BOOST_AUTO_TEST_CASE(each_rank_clips_its_own_gradient) {
  const LeverMesh two = mesh_of("dp2", {.dp = 2});
  const auto last = [&](double clip) {
    const Training run =
        train(deck_of(0, two.deck, "OneBitAdam", {{"gradient_clipping", clip}}), 2);
    return run.steps.back();
  };
  const auto none = last(0);
  const auto far = last(1e6);
  const auto tight = last(1e-3);
  BOOST_TEST(none.loss == far.loss);
  BOOST_TEST(none.loss != tight.loss);
  BOOST_TEST(tight.gradient_norm > 1e-3);  // the norm before clipping
}

BOOST_AUTO_TEST_SUITE_END()
