// SPDX-License-Identifier: Apache-2.0
// Every optimizer on meshes: the stages of ZeRO give equal bits, a mesh follows one rank, and a
// checkpoint of one mesh goes on at another.
#include <cmath>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

struct Case {
  const char* type;
  Json params;
  std::vector<std::string> arrays;  ///< kinds in a checkpoint
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.type; }

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"Adam", {{"lr", 1e-2}, {"adam_w_mode", false}}, {"exp_avg", "exp_avg_sq"}},
      {"SGD", {{"lr", 0.1}, {"momentum", 0.9}, {"nesterov", true}}, {"momentum"}},
      {"Lion", {{"lr", 2e-3}}, {"exp_avg"}},
      {"Adagrad", {{"lr", 5e-2}, {"initial_accumulator_value", 0.01}}, {"sum"}},
      {"madgrad_wd", {{"lr", 1e-2}}, {"grad_sum_sq", "s", "x0"}},
      {"Lamb", {{"lr", 2e-2}}, {"exp_avg", "exp_avg_sq"}},
      {"Adafactor", {{"lr", 5e-2}}, {"row", "col"}},
      {"SM3", {{"lr", 5e-2}, {"momentum", 0.9}, {"beta", 0.9}}, {"momentum", "row", "col"}},
      {"Muon", {{"lr", 2e-2}, {"adam_lr", 5e-3}}, {"exp_avg", "exp_avg_sq"}}};
  return all;
}

/// Model 0 has biases and an untied head, and model 2 a tied embedding and a gated mlp.
Json deck_of(const Case& c, int model, const Json& mesh, int stage, const Json& more = {}) {
  const Json optimizer{{"optimizer", {{"type", c.type}, {"params", c.params}}}};
  const Json zero{{"zero_optimization",
                   {{"stage", stage},
                    {"reduce_bucket_size", 997},
                    {"stage3_param_persistence_threshold", 100}}}};
  Json base = lever_model(model);
  for (const char* key : {"lr", "optimizer"}) base.erase(key);
  return merged(base, optimizer, mesh, zero,
                merged({{"num_layers", 2},
                        {"eval_iters", 0},
                        {"gradient_accumulation_steps", 2},
                        {"lr_decay_iters", 20},
                        {"warmup", 0}},
                       more.is_null() ? Json::object() : more));
}

const Json kMesh{{"model_parallel_size", 2}};  // dp2 × tp2 on four ranks

}  // namespace

BOOST_AUTO_TEST_SUITE(optimizers)

BOOST_DATA_TEST_CASE(stages_give_equal_bits, bdata::make(cases()), one) {
  for (const char* precision : {"fp32", "bfloat16", "fp16"}) {
    const Json more{{"precision", precision}};
    const Training expected = train(deck_of(one, 0, kMesh, 0, more), 4);
    BOOST_TEST(expected.steps.back().loss < expected.steps.front().loss);
    for (const int stage : {1, 2, 3}) {
      const std::string off =
          difference(train(deck_of(one, 0, kMesh, stage, more), 4), expected);
      BOOST_TEST(off.empty(), precision << " stage " << stage << ": " << off);
    }
  }
}

BOOST_DATA_TEST_CASE(a_mesh_follows_one_rank, bdata::make(cases()), one) {
  const Json whole{{"hidden_dropout", 0}, {"attention_dropout", 0}, {"train_iters", 6}};
  const Training expected = train(deck_of(one, 2, Json::object(), 0, whole), 1);
  const Json meshes[] = {
      {{"model_parallel_size", 2}, {"pipe_parallel_size", 2}},
      {{"model_parallel_size", 2}, {"sequence_parallel", true}},
  };
  for (std::size_t m = 0; m < std::size(meshes); ++m) {
    const Training got =
        train(deck_of(one, 2, meshes[m], m == 0 ? 1 : 3, whole), m == 0 ? 8 : 4);
    for (std::size_t i = 0; i < expected.steps.size(); ++i) {
      const double loss = expected.steps[i].loss;
      BOOST_TEST(std::abs(got.steps[i].loss - loss) <= 2e-5 * loss,
                 "mesh " << m << ", step " << i + 1 << ": " << got.steps[i].loss << " beside "
                         << loss);
    }
  }
}

BOOST_DATA_TEST_CASE(a_checkpoint_goes_on_at_another_mesh, bdata::make(cases()), one) {
  const TemporaryFolder folder(memory_folder());
  const Json more{{"hidden_dropout", 0}, {"attention_dropout", 0}, {"train_iters", 7}};
  const Training whole = train(deck_of(one, 2, kMesh, 2, more), 4);
  const Training half =
      train(deck_of(one, 2, kMesh, 2, more), 4, {.save = folder / "save", .until = 4});
  for (const std::string& kind : one.arrays) {
    BOOST_TEST(std::ranges::any_of(half.arrays, [&](const auto& named) {
      return named.first.starts_with("optimizer/" + kind + "/");
    }));
  }
  const std::string saved = folder / "save/global_step4";
  const Training same = train(deck_of(one, 2, kMesh, 2, more), 4, {.load = saved});
  for (std::size_t i = 0; i < same.steps.size(); ++i) {
    BOOST_TEST(same.steps[i].loss == whole.steps.at(4 + i).loss);
  }
  const Training loaded =
      train(deck_of(one, 2, Json::object(), 0, more), 1, {.load = saved, .until = 4});
  const std::string off = array_difference(loaded, half);
  BOOST_TEST(off.empty(), off);
  const Training later = train(deck_of(one, 2, Json::object(), 0, more), 1, {.load = saved});
  BOOST_REQUIRE(later.steps.size() == 3U);
  for (std::size_t i = 0; i < later.steps.size(); ++i) {
    const double loss = whole.steps.at(4 + i).loss;
    BOOST_TEST(std::abs(later.steps[i].loss - loss) <= 2e-5 * loss);
  }
}

BOOST_AUTO_TEST_SUITE_END()
