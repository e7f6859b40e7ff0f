// SPDX-License-Identifier: Apache-2.0
// Half precision: overflows, the loss scale and its minimum, types that are kept and sent, and
// numbers that are not finite. All are the same at each stage of ZeRO.
#include <algorithm>
#include <cmath>
#include <set>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

const Json kDeck = Json::parse(R"({
  "num_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "seq_length": 32,
  "pos_emb": "rotary", "no_weight_tying": true, "train_micro_batch_size_per_gpu": 1,
  "lr": 1e-3, "lr_decay_style": "constant", "warmup": 0, "weight_decay": 0, "eval_iters": 0,
  "train_iters": 30})");

/// ZeRO's stage with parameters and buckets that are really sharded.
Json stage_of(int stage) {
  return {{"zero_optimization",
           {{"stage", stage},
            {"stage3_param_persistence_threshold", 0},
            {"reduce_bucket_size", 3000}}}};
}

// --- overflow --------------------------------------------------------------------------------

const Json kStill =
    Json::parse(R"({"precision": "fp16", "fp32_allreduce": true, "lr": 0, "min_lr": 0})");
constexpr int kSamples = 24;

Json fixed_scale(double scale) { return {{"fp16", {{"loss_scale", scale}}}}; }

/// Finds the samples that overflow: one sample a step, on one rank, at lr 0.
struct Probe {
  double scale = 0;
  Training run;
};
const Probe& probe() {
  static const Probe found = [] {
    for (int i = 0; i < 40; ++i) {  // eight scales between two powers of two
      Probe p{std::ldexp(8 + i % 8, 12 + i / 8), {}};
      p.run =
          train(merged(kDeck, kStill, fixed_scale(p.scale), {{"train_iters", kSamples}}), 1);
      const auto skipped = p.run.skipped();
      const auto count = std::count(skipped.begin(), skipped.end(), true);
      if (count > 4 && count < kSamples - 4) return p;
    }
    BOOST_FAIL("no scale at which some samples overflow");
    return Probe{};
  }();
  return found;
}

/// Sample m·dp + r of a step is micro-batch m of rank r: the step's text must name it.
void check_step(const Trainer::StepResult& step, int dp, int accumulation, int& alone) {
  const auto samples = probe().run.skipped();
  const int batch = dp * accumulation;
  std::set<std::string> tensors;  // where the first micro-batch overflowed
  int micro_batch = 0;
  std::set<int> ranks;
  for (int i = 0; i < batch; ++i) {
    const auto at = static_cast<std::size_t>((step.iteration - 1) * batch + i);
    if (!samples.at(at)) continue;
    ranks.insert(i % dp);
    if (micro_batch == 0) micro_batch = i / dp + 1;
    if (i / dp + 1 != micro_batch) continue;
    const std::string text = probe().run.steps.at(at).overflow;
    tensors.insert(text.substr(0, text.find(',')));
  }
  BOOST_TEST(step.skipped == !ranks.empty());
  if (!step.skipped) return;
  if (ranks.size() == 1) ++alone;
  const std::string tensor = step.overflow.substr(0, step.overflow.find(','));
  BOOST_TEST(tensors.contains(tensor), step.overflow << " at iteration " << step.iteration);
  TRM_TEST_MENTIONS(step.overflow, fmt::format("micro-batch {}", micro_batch));
}

void check_overflow(int ranks, int dp, int accumulation, const Json& more) {
  const int batch = dp * accumulation;
  const Training run =
      train(merged(kDeck, kStill, fixed_scale(probe().scale * batch),
                   {{"train_iters", kSamples / batch}, {"train_batch_size", batch}}, more),
            ranks);
  BOOST_REQUIRE(run.steps.size() == static_cast<std::size_t>(kSamples / batch));
  int alone = 0;
  for (const auto& step : run.steps) {
    check_step(step, dp, accumulation, alone);
    BOOST_TEST(step.loss_scale == probe().scale * batch);
  }
  if (dp > 1) BOOST_TEST(alone > 0);  // in some step one rank alone must overflow
}

// --- loss scale ------------------------------------------------------------------------------

struct ScaleCase {
  const char* name;
  int ranks;
  int hysteresis;
  bool consecutive;
  Json more;
};
std::ostream& operator<<(std::ostream& out, const ScaleCase& c) { return out << c.name; }

std::vector<ScaleCase> scale_cases() {
  return {{"hysteresis 1", 2, 1, false, Json::object()},
          {"hysteresis 2, stage 3", 2, 2, false, stage_of(3)},
          {"consecutive hysteresis, stage 1", 2, 2, true, stage_of(1)},
          {"pipeline and tensors",
           4,
           1,
           false,
           {{"pipe_parallel_size", 2},
            {"model_parallel_size", 2},
            {"gradient_accumulation_steps", 2}}}};
}

constexpr int kWindow = 3;

/// DeepSpeed's DynamicLossScaler: the scale of each step, and of the one after.
std::vector<double> scales_of(const std::vector<bool>& skipped, double scale, int hysteresis,
                              bool consecutive) {
  std::vector<double> used{scale};
  int left = hysteresis;
  int last = -1;
  for (int i = 0; i < static_cast<int>(skipped.size()); ++i) {
    if (skipped[static_cast<std::size_t>(i)]) {
      if (left == 1) {
        scale = std::max(scale / 2, 1.0);
      } else {
        --left;
      }
      last = i;
    } else {
      if (consecutive) left = hysteresis;
      if ((i - last) % kWindow == 0) {
        if (!consecutive) left = hysteresis;
        scale *= 2;
      }
    }
    used.push_back(scale);
  }
  return used;
}

Json moving_scale(int power, int hysteresis, bool consecutive = false) {
  return {{"precision", "fp16"},
          {"fp16",
           {{"initial_scale_power", power},
            {"loss_scale_window", kWindow},
            {"hysteresis", hysteresis},
            {"consecutive_hysteresis", consecutive}}}};
}

// --- types -----------------------------------------------------------------------------------

struct TypeCase {
  const char* name;
  Json deck;
  std::size_t values, masters, moments;  ///< bytes of an element; 0: no such array
  double allowed;                        ///< relative difference of losses from fp32's
};
std::ostream& operator<<(std::ostream& out, const TypeCase& c) { return out << c.name; }

std::vector<TypeCase> type_cases() {
  const Json bf16{{"precision", "bf16"}};
  const Json fp16{{"precision", "fp16"}};
  const Json sums{{"data_types", {{"grad_accum_dtype", "bf16"}}}};
  const auto sent = [](const char* type) { return Json{{"communication_data_type", type}}; };
  const char* const masters = "bf16_master_weights_and_grads";
  return {
      {"bf16", bf16, 2, 4, 4, 0.01},
      {"fp16", fp16, 2, 4, 4, 0.01},
      {"fp32, bf16 gradients", sums, 4, 0, 4, 0.01},
      {"bf16 gradients", merged(bf16, sums), 2, 4, 4, 0.01},
      {"sent in bf16", sent("bf16"), 4, 0, 4, 0.01},
      {"sent in fp16", merged(bf16, sent("fp16")), 2, 4, 4, 0.01},
      {"fp16, sent in fp32", merged(fp16, sent("fp32")), 2, 4, 4, 0.01},
      {"bf16 all", merged(bf16, {{"bf16", {{masters, true}, {"bf16_optimizer_states", true}}}}),
       2, 0, 2, 0.05},
      {"bf16 masters", merged(bf16, {{"bf16", {{masters, true}}}}), 2, 0, 4, 0.05},
      {"fp16 masters", merged(fp16, {{"fp16", {{"fp16_master_weights_and_grads", true}}}}), 2,
       0, 4, 0.05}};
}

/// Bytes of an element; 0 where there is no such array.
std::size_t width(const Training& run, const std::string& kind) {
  const auto found = run.arrays.find(kind + "layers.1.attention.dense.weight");
  return found == run.arrays.end() ? 0 : size_of(found->second.dtype);
}

const Json kTypesRun{{"gradient_accumulation_steps", 2}, {"weight_decay", 0.1}};

// --- not finite ------------------------------------------------------------------------------

struct HugeCase {
  const char* name;
  int ranks;
  Json more;
};
std::ostream& operator<<(std::ostream& out, const HugeCase& c) { return out << c.name; }

std::vector<HugeCase> huge_cases() {
  return {{"data parallel", 2, Json::object()},
          {"pipeline", 4, {{"pipe_parallel_size", 2}, {"gradient_accumulation_steps", 2}}},
          {"tensors", 4, {{"model_parallel_size", 2}}},
          {"recomputed", 2, {{"checkpoint_activations", true}}}};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(precision)

BOOST_AUTO_TEST_CASE(the_ranks_and_micro_batches_that_overflow_are_found) {
  for (int stage = 0; stage < 4; ++stage) {
    BOOST_TEST_CONTEXT("stage " << stage) {
      check_overflow(2, 2, 1, stage_of(stage));
      check_overflow(2, 2, 3, stage_of(stage));
      check_overflow(4, 2, 2, merged(stage_of(stage), {{"model_parallel_size", 2}}));
      check_overflow(4, 2, 3, merged(stage_of(stage), {{"pipe_parallel_size", 2}}));
    }
  }
  check_overflow(1, 1, 4, Json::object());
}

BOOST_AUTO_TEST_CASE(a_sum_that_overflows_on_its_way_is_found) {
  int found = 0;
  for (const int power :
       {13, 14, 15, 16, 17, 18, 19}) {  // less than what overflows in backward
    const Training run = train(merged(kDeck, kStill, fixed_scale(std::ldexp(1.0, power)),
                                      {{"fp32_allreduce", false}, {"train_iters", 4}}),
                               2);
    for (const auto& step : run.steps) {
      if (!step.skipped || step.overflow.find("micro-batch ") != std::string::npos) continue;
      ++found;
      TRM_TEST_MENTIONS(step.overflow, "the gradient of ");
      TRM_TEST_MENTIONS(step.overflow, ", element ");
      TRM_TEST_MENTIONS(step.overflow, "in fp16");
    }
  }
  BOOST_TEST(found > 0);
}

BOOST_DATA_TEST_CASE(the_scale_moves_as_deepspeeds, bdata::make(scale_cases()), c) {
  const Json deck = merged(kDeck, moving_scale(24, c.hysteresis, c.consecutive), c.more,
                           {{"train_iters", 40}});
  const Training run = train(deck, c.ranks);
  const auto skipped = run.skipped();
  const auto expected = scales_of(skipped, std::ldexp(1.0, 24), c.hysteresis, c.consecutive);
  BOOST_REQUIRE(skipped.size() == 40U);
  BOOST_TEST((skipped[0] && skipped[1]));  // the first scale must be too large
  int rises = 0;
  std::int64_t updates = 0;
  for (std::size_t i = 0; i < skipped.size(); ++i) {
    const auto& step = run.steps[i];
    BOOST_TEST(step.loss_scale == expected[i]);
    BOOST_TEST(step.next_loss_scale == expected[i + 1]);
    BOOST_TEST(std::isfinite(step.loss));
    BOOST_TEST((skipped[i] || std::isfinite(step.gradient_norm)));
    BOOST_TEST(step.overflow.empty() == !skipped[i]);
    if (expected[i + 1] > expected[i]) ++rises;
    if (!skipped[i]) ++updates;
  }
  BOOST_TEST(rises >= 3);
  BOOST_TEST(run.optimizer_steps == updates);
  BOOST_TEST(run.steps.back().loss < run.steps.front().loss - 0.2);
  const std::string off =
      array_difference(train(deck, c.ranks, {.until = 2}), train(deck, c.ranks, {.until = 0}));
  BOOST_TEST(off.empty(), "skipped steps changed " << off);
}

/// AdamW's first update is ±lr wherever the gradient is well above epsilon. Counted as the
/// ninth step, the update would be about lr · 9 / 4.
BOOST_AUTO_TEST_CASE(bias_correction_does_not_count_skipped_steps) {
  const Json deck =
      merged(kDeck, moving_scale(26, 2),
             {{"gradient_clipping", 0},
              {"train_iters", 20},
              {"optimizer", {{"type", "AdamW"}, {"params", {{"lr", 1e-3}, {"eps", 1e-12}}}}}});
  const auto skipped = train(deck, 2).skipped();
  const auto first = std::find(skipped.begin(), skipped.end(), false) - skipped.begin();
  BOOST_REQUIRE(first >= 3);
  const std::string name = "optimizer/master/layers.0.attention.dense.weight";
  const auto before = train(deck, 2, {.until = first}).arrays.at(name).values();
  const auto after = train(deck, 2, {.until = first + 1}).arrays.at(name).values();
  std::vector<double> moves;
  for (std::size_t i = 0; i < before.size(); ++i) {
    moves.push_back(std::abs(static_cast<double>(after[i]) - static_cast<double>(before[i])));
  }
  std::ranges::nth_element(moves,
                           moves.begin() + static_cast<std::ptrdiff_t>(moves.size() / 2));
  BOOST_TEST(std::abs(moves[moves.size() / 2] - 1e-3) < 1e-6);
}

BOOST_AUTO_TEST_CASE(a_scale_at_its_minimum_ends_the_run) {
  const Json deck = merged(kDeck, Json::parse(R"({"precision": "fp16", "train_iters": 9,
      "fp16": {"initial_scale_power": 27, "min_loss_scale": 67108864, "hysteresis": 1}})"));
  const Json pipeline{{"pipe_parallel_size", 2}};
  const auto accumulate = [](int n) { return Json{{"gradient_accumulation_steps", n}}; };
  const std::vector<std::pair<int, Json>> cases{
      {2, stage_of(0)},
      {2, stage_of(3)},
      {4, stage_of(2)},
      {2, merged(pipeline, accumulate(2))},
      {4, merged(pipeline, accumulate(3), stage_of(3))},
      {4, {{"model_parallel_size", 2}, {"sequence_parallel", true}}}};
  for (const auto& [ranks, more] : cases) {
    const Training run = train(merged(deck, more), ranks);
    for (const char* words :
         {"iteration 2:", "loss scale 67108864", "fp16.min_loss_scale is 67108864",
          "cannot be lowered", "lower lr", "(first: the gradient of ", "micro-batch 1)"}) {
      TRM_TEST_MENTIONS(run.error, words);
    }
    BOOST_TEST((run.skipped() == std::vector<bool>{true}));
  }
}

BOOST_AUTO_TEST_CASE(a_fixed_scale_skips_for_ever) {
  const Json fp16{{"precision", "fp16"}};
  const double large = std::ldexp(1.0, 26);
  Training run = train(merged(kDeck, fp16, fixed_scale(large), {{"train_iters", 6}}), 2);
  TRM_TEST_MENTIONS(run.error, "gradients overflowed in every step: fp16.loss_scale 67108864");
  BOOST_TEST((run.skipped() == std::vector<bool>(6, true)));
  BOOST_TEST((run.scales() == std::vector<double>(6, large)));
  run = train(merged(kDeck, fp16, fixed_scale(1000)), 2);
  BOOST_TEST((run.skipped() == std::vector<bool>(30, false)));
  BOOST_TEST((run.scales() == std::vector<double>(30, 1000)));
  BOOST_TEST(run.steps.back().loss < run.steps.front().loss - 0.3);
}

/// Arrays have the types that the deck asks for, and no stage changes a bit.
BOOST_DATA_TEST_CASE(types_are_kept_as_asked, bdata::make(type_cases()), c) {
  static const Training reference = train(merged(kDeck, kTypesRun), 2);
  Training first;
  for (int stage = 0; stage < 4; ++stage) {
    Training run = train(merged(kDeck, kTypesRun, c.deck, stage_of(stage)), 2);
    BOOST_TEST(width(run, "model/") == c.values);
    BOOST_TEST(width(run, "optimizer/master/") == c.masters);
    BOOST_TEST(width(run, "optimizer/exp_avg/") == c.moments);
    BOOST_TEST(width(run, "optimizer/exp_avg_sq/") == c.moments);
    if (stage == 0) {
      first = std::move(run);
      continue;
    }
    const std::string off = difference(run, first);
    BOOST_TEST(off.empty(), "stage " << stage << ": " << off);
  }
  const auto loss = first.losses();
  BOOST_TEST(loss.back() < loss.front() - 0.3);
  BOOST_TEST((loss != reference.losses()));  // the types must make a difference
  for (std::size_t i = 0; i < loss.size(); ++i) {
    const double expected = reference.losses().at(i);
    BOOST_TEST(std::abs(loss[i] - expected) <= c.allowed * expected);
  }
}

/// Without a loss scale the run ends and names the first tensor, the same at each stage.
BOOST_DATA_TEST_CASE(the_first_tensor_that_is_not_finite_is_named, bdata::make(huge_cases()),
                     c) {
  for (const char* precision : {"fp32", "bf16"}) {
    std::set<std::string> errors;
    for (int stage = 0; stage < 4; ++stage) {
      const Training run = train(
          merged(kDeck, c.more, stage_of(stage), {{"precision", precision}, {"lr", 1e30}}),
          c.ranks);
      errors.insert(run.error);
      BOOST_TEST(run.steps.size() == 1U);
    }
    BOOST_TEST(errors.size() == 1U);
    TRM_TEST_MENTIONS(*errors.begin(),
                      "not finite at iteration 2; the first tensor with inf or NaN is");
    TRM_TEST_MENTIONS(*errors.begin(), "layers.0");
  }
}

BOOST_AUTO_TEST_SUITE_END()
