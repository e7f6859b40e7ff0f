// SPDX-License-Identifier: Apache-2.0
// Batches and sequences that grow, layers that are dropped, and the gradient noise scale: on
// meshes, over restarts, and against runs without them.
#include "trireme/deck/growth.hpp"

#include <algorithm>
#include <cmath>

#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

Json deck_of(const Json& more, int model = 2) {
  return merged(lever_model(model),
                {{"num_layers", 3},
                 {"train_iters", 8},
                 {"train_micro_batch_size_per_gpu", 1},
                 {"eval_interval", 8},
                 {"hidden_dropout", 0.1}},
                more);
}

const Json kRamp{{"train_batch_size", 16}, {"rampup_batch_size", {4, 4, 60}}};
const Json kCurriculum{
    {"curriculum_learning",
     {{"enabled", true},
      {"min_difficulty", 4},
      {"max_difficulty", 16},
      {"schedule_config", {{"total_curriculum_step", 6}, {"difficulty_step", 4}}}}}};
const Json kDrop{{"progressive_layer_drop", {{"enabled", true}, {"theta", 0.4}, {"gamma", 2}}}};
const Json kNoise{{"log_gradient_noise_scale", true}, {"gradient_noise_scale_n_batches", 2}};

/// Meshes of four ranks, each with another stage of ZeRO.
const std::vector<Json>& meshes() {
  static const std::vector<Json> all{
      {{"zero_optimization", {{"stage", 2}}}},
      {{"model_parallel_size", 2},
       {"sequence_parallel", true},
       {"zero_optimization", {{"stage", 3}}}},
      {{"pipe_parallel_size", 3}, {"ranks", 3}, {"checkpoint_activations", true}},
      {{"pipe_parallel_size", 2}, {"zero_optimization", {{"stage", 1}}}}};
  return all;
}

Training on_mesh(Json deck, const Json& mesh) {
  deck = merged(std::move(deck), mesh);
  const int ranks = deck.value("ranks", 4);
  deck.erase("ranks");
  return train(deck, ranks);
}

double apart(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size() || a.empty()) return 1;
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] / b[i] - 1));
  return most;
}

/// Each mesh trains as one rank does, and a restart after `until` iterations goes on exactly.
void check_meshes(const Json& deck, int until) {
  const Training one = train(deck, 1);
  BOOST_TEST(one.losses().back() < one.losses().front());
  for (const Json& mesh : meshes()) {
    const Training run = on_mesh(deck, mesh);
    BOOST_TEST(apart(run.losses(), one.losses()) < 1e-6, mesh.dump());
    BOOST_TEST(apart(run.norms(), one.norms()) < 1e-5, mesh.dump());
    BOOST_TEST(apart(run.valid, one.valid) < 1e-6, mesh.dump());
    for (std::size_t i = 0; i < run.steps.size(); ++i) {
      BOOST_TEST(run.steps[i].consumed == one.steps[i].consumed);
      BOOST_TEST(run.steps[i].lr == one.steps[i].lr);
      BOOST_TEST(run.steps[i].seq == one.steps[i].seq);
    }
  }
  const Json mesh = merged(deck, {{"zero_optimization", {{"stage", 1}}}});
  const TemporaryFolder folder(memory_folder());
  const Training whole = train(mesh, 4);
  (void)train(mesh, 4, {.save = folder / "save", .until = until});
  const Training rest =
      train(mesh, 4, {.load = fmt::format("{}/global_step{}", folder / "save", until)});
  BOOST_TEST(array_difference(rest, whole).empty(), array_difference(rest, whole));
}

/// Samples whose first `kept` tokens alone are seen by a deck with this seq_length.
class Beginnings : public SampleSource {
 public:
  Beginnings(std::unique_ptr<SampleSource> of, std::int64_t whole)
      : SampleSource(of->seq_length()), of_(std::move(of)), whole_(whole) {}
  [[nodiscard]] std::int64_t vocab_size() const override { return of_->vocab_size(); }
  void get(std::uint64_t k, std::span<std::int32_t> to) const override {
    std::vector<std::int32_t> all(static_cast<std::size_t>(whole_ + 1));
    of_->get(k, all);
    std::copy_n(all.begin(), to.size(), to.begin());
  }

 private:
  std::unique_ptr<SampleSource> of_;
  std::int64_t whole_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(growth)

BOOST_AUTO_TEST_CASE(a_growing_batch) {
  const Json deck = deck_of(kRamp);
  check_meshes(deck, 5);
  const Training run = train(deck, 1);
  std::vector<std::int64_t> sizes;
  for (const auto& s : run.steps) sizes.push_back(s.samples);
  const std::vector<std::int64_t> expected{4, 4, 4, 4, 4, 8, 8, 8};
  BOOST_TEST(sizes == expected, boost::test_tools::per_element());
  // lr_decay_iters covers 44 samples: 3 whole batches. The warm-up is 0.3 of them, rounded
  // down.
  BOOST_TEST(run.steps[1].consumed == 8);
  BOOST_TEST(run.steps.back().consumed == 44);
  BOOST_TEST(run.steps[1].lr > run.steps[6].lr);
}

BOOST_AUTO_TEST_CASE(a_ramp_of_one_batch_is_that_batch) {
  // The ramp-up outlasts the run, so that each batch has 4 samples.
  const Json small{{"train_batch_size", 4},
                   {"lr_decay_style", "constant"},
                   {"warmup", 0},
                   {"eval_iters", 0}};
  const Json ramp{{"train_batch_size", 8}, {"rampup_batch_size", {4, 4, 1000}}};
  const Training expected = train(deck_of(small), 2);
  const Training run = train(deck_of(merged(small, ramp)), 2);
  BOOST_TEST(difference(run, expected).empty(), difference(run, expected));
}

BOOST_AUTO_TEST_CASE(memory_of_shorter_sequences_does_not_stay) {
  const Json long_ones{{"num_attention_heads", 2}, {"hidden_size", 64}, {"seq_length", 256}};
  const Json grow{
      {"curriculum_learning",
       {{"enabled", true},
        {"min_difficulty", 32},
        {"max_difficulty", 256},
        {"schedule_config", {{"total_curriculum_step", 7}, {"difficulty_step", 32}}}}}};
  const Training expected = train(deck_of(long_ones), 1);
  const Training run = train(deck_of(merged(long_ones, grow)), 1);
  BOOST_TEST(run.steps.front().seq < run.steps.back().seq);
  BOOST_TEST(run.reserved <= expected.reserved);
}

BOOST_AUTO_TEST_CASE(growing_sequences) {
  check_meshes(deck_of(kCurriculum), 2);
  const Training run = train(deck_of(kCurriculum), 1);
  std::vector<std::int64_t> lengths;
  for (const auto& s : run.steps) lengths.push_back(s.seq);
  const std::vector<std::int64_t> expected{4, 8, 8, 12, 12, 16, 16, 16};
  BOOST_TEST(lengths == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_short_sequence_is_the_beginning_of_a_sample) {
  const Json short_deck{{"seq_length", 8}, {"eval_iters", 0}};
  const Json discrete{{"curriculum_learning",
                       {{"enabled", true},
                        {"min_difficulty", 8},
                        {"max_difficulty", 16},
                        {"schedule_type", "fixed_discrete"},
                        {"schedule_config", {{"difficulty", {8, 16}}, {"max_step", {100}}}}}},
                      {"eval_iters", 0}};
  for (const int model : {0, 2}) {
    const Training expected = train(deck_of(short_deck, model), 2, {.wrap = [](auto of) {
                                      return std::make_unique<Beginnings>(std::move(of), 16);
                                    }});
    const Training run = train(deck_of(discrete, model), 2);
    BOOST_TEST(difference(run, expected).empty(), difference(run, expected));
  }
}

BOOST_AUTO_TEST_CASE(dropped_layers) {
  for (const int model : {0, 2}) check_meshes(deck_of(kDrop, model), 4);
  const Training plain = train(deck_of(Json::object()), 2);
  const Json all{{"progressive_layer_drop", {{"enabled", true}, {"theta", 1}}}};
  BOOST_TEST(difference(train(deck_of(all), 2), plain).empty());
  const Training run = train(deck_of(kDrop), 2);
  BOOST_TEST(run.losses()[1] == plain.losses()[1]);  // θ is still 1
  BOOST_TEST(run.losses()[3] != plain.losses()[3]);
  BOOST_TEST(run.steps[3].layer_keep < 0.5);
  const Json again = merged(kDrop, {{"checkpoint_activations", true}});
  BOOST_TEST(difference(train(deck_of(again), 2), run).empty());
}

BOOST_AUTO_TEST_CASE(noise_scale) {
  // With lr 0, the mean gradient of two steps is that of one step of twice as many samples.
  const Json still{{"lr", 0},
                   {"weight_decay", 0},
                   {"train_batch_size", 8},
                   {"hidden_dropout", 0},
                   {"attention_dropout", 0},
                   {"eval_iters", 0}};
  const Json deck = deck_of(merged(still, kNoise));
  const Training one = train(deck, 1);
  const Training doubled = train(deck_of(merged(still, {{"train_batch_size", 16}})), 1);
  double gradient = 0;
  double noise = 0;
  for (std::size_t i = 0; i < one.steps.size(); ++i) {
    if (i % 2 == 0) {
      BOOST_TEST(one.steps[i].noise_scale == 0);
      continue;
    }
    const auto square = [](double x) { return x * x; };
    const double small = (square(one.norms()[i - 1]) + square(one.norms()[i])) / 2;
    const double large = square(doubled.norms()[i / 2]);
    gradient = 0.99 * gradient + 0.01 * (16 * large - 8 * small) / 8;
    noise = 0.99 * noise + 0.01 * (small - large) / (1.0 / 8 - 1.0 / 16);
    BOOST_TEST(std::abs(one.steps[i].noise_scale / (noise / gradient) - 1) < 1e-4);
  }
  for (const Json& mesh : meshes()) {
    const Training run = on_mesh(deck, mesh);
    for (std::size_t i = 1; i < run.steps.size(); i += 2) {
      BOOST_TEST(std::abs(run.steps[i].noise_scale / one.steps[i].noise_scale - 1) < 1e-4,
                 mesh.dump());
    }
  }
  // Clipping and training are as without the estimate.
  const Json half{{"precision", "fp16"}, {"fp16", {{"initial_scale_power", 8}}}};
  const Training plain = train(deck_of(half), 2);
  BOOST_TEST(difference(train(deck_of(merged(half, kNoise)), 2), plain).empty());
}

BOOST_AUTO_TEST_SUITE_END()
