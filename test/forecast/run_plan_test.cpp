// SPDX-License-Identifier: Apache-2.0
// Forecasts of runs, against arithmetic by hand.
#include "trireme/forecast/run_plan.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

#include "trireme/checkpoint/saver.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/model/trained.hpp"
#include "trireme/model/transformer.hpp"

#include "../support/error_of.hpp"

using namespace trireme;

namespace {

const std::string kTiny = R"(
num_layers: 8
hidden_size: 64
num_attention_heads: 4
seq_length: 32
vocab_size: 1000
pos_emb: rotary
no_weight_tying: true
train_micro_batch_size_per_gpu: 2
train_iters: 1
lr: 1e-3
save: runs/plan
)";

const std::string kHundredBillion = R"(
num_layers: 80
hidden_size: 10240
num_attention_heads: 80
seq_length: 2048
vocab_size: 50257
pos_emb: rotary
no_weight_tying: true
pipe_parallel_size: 10
model_parallel_size: 8
sequence_parallel: true
train_micro_batch_size_per_gpu: 1
gradient_accumulation_steps: 16
train_iters: 1
lr: 1e-4
save: runs/plan
)";

Deck deck_of(const std::string& text, int ranks) {
  Deck deck = parse_deck(text, "deck");
  resolve(deck, ranks);
  return deck;
}

RunPlan plan_of(const std::string& text, int ranks, int ranks_per_node = 0) {
  return plan_run(deck_of(text, ranks), ranks, ranks_per_node);
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_rank_keeps_sixteen_bytes_a_parameter) {
  const Deck deck = deck_of(kTiny, 1);
  const RunPlan run = plan_run(deck, 1, 0);
  BOOST_TEST(run.stages.size() == 1U);
  const StagePlan& s = run.stages[0];
  BOOST_TEST(s.parameters == count_parameters(deck.model));  // all sizes are multiples of 16
  BOOST_TEST(s.values == 4 * s.parameters);
  BOOST_TEST(s.gradients == 4 * s.parameters);
  BOOST_TEST(s.optimizer == 8 * s.parameters);
  BOOST_TEST(s.tapes > 0);
  BOOST_TEST(s.activations > s.tapes);
  BOOST_TEST(s.reduced == 0);
  BOOST_TEST(s.tensor_traffic == 0);
  BOOST_TEST(s.pipeline_traffic == 0);
  BOOST_TEST(run.idle < 1e-9);
  // The only rank writes and copies values and both moments.
  BOOST_TEST(run.checkpoint.bytes == 12 * s.parameters);
  BOOST_TEST(run.checkpoint.writers == 1);
  BOOST_TEST(run.checkpoint.most == run.checkpoint.bytes);
  BOOST_TEST(s.copy >= run.checkpoint.bytes);
  BOOST_TEST(s.copy < run.checkpoint.bytes + 64 * 3 * 100);
}

BOOST_AUTO_TEST_CASE(moments_of_eight_bits_have_a_scale_for_each_block) {
  const Deck deck = deck_of(kTiny + "use_bnb_optimizer: true\n", 1);
  const RunPlan run = plan_run(deck, 1, 0);
  // Embedding, head and the matrices of layers, whose sizes are multiples of 256.
  const std::int64_t coded = 2 * 1000 * 64 + 8 * (192 + 64 + 256 + 256) * 64;
  const std::int64_t rest = count_parameters(deck.model) - coded;
  BOOST_TEST(run.stages[0].optimizer == 2 * (coded + 4 * coded / 256) + 8 * rest);
  // Checkpoints and their copy hold fp32.
  BOOST_TEST(run.checkpoint.bytes == 12 * count_parameters(deck.model));
  const auto sharded = plan_of(kTiny +
                                   "use_bnb_optimizer: true\nzero_optimization: "
                                   "{stage: 1}\n",
                               2);
  BOOST_TEST(2 * sharded.stages[0].optimizer > run.stages[0].optimizer * 9 / 10);
  BOOST_TEST(2 * sharded.stages[0].optimizer < run.stages[0].optimizer * 11 / 10);
}

BOOST_AUTO_TEST_CASE(optimizer_and_save_are_the_decks) {
  const auto sgd = plan_of(kTiny + "optimizer: {type: SGD, params: {lr: 1e-3}}\n", 1);
  BOOST_TEST(sgd.stages[0].optimizer == 0);
  BOOST_TEST(sgd.checkpoint.bytes == 4 * sgd.stages[0].parameters);
  const auto weights = plan_of(kTiny + "no_save_optim: true\n", 1);
  BOOST_TEST(weights.checkpoint.bytes == 4 * weights.stages[0].parameters);
  const auto waiting = plan_of(kTiny + "checkpoint: {async: false}\n", 1);
  BOOST_TEST(waiting.stages[0].copy == 0);
  BOOST_TEST(waiting.checkpoint.bytes == 12 * waiting.stages[0].parameters);
}

BOOST_AUTO_TEST_CASE(frozen_parameters_have_values_alone) {
  const StagePlan all = plan_of(kTiny, 1).stages[0];
  for (const std::string& more :
       {std::string("train_only: [\"^layers.7\", embed_out]\n"),
        std::string("lora: {rank: 16}\n"),
        std::string("train_only: embed_out\nprecision: bfloat16\n")}) {
    BOOST_TEST_CONTEXT(more) {
      const Deck deck = deck_of(kTiny + more, 1);
      const bool half = deck.types.compute != DType::f32;
      const TrainedCount count = count_trained(deck.model);  // all sizes are multiples of 16
      const RunPlan run = plan_run(deck, 1, 0);
      const StagePlan& s = run.stages[0];
      BOOST_TEST(s.parameters == count.all);
      BOOST_TEST(s.values == (half ? 2 : 4) * count.all);
      BOOST_TEST(s.gradients == 4 * count.trained);
      BOOST_TEST(s.optimizer == (half ? 12 : 8) * count.trained);
      BOOST_TEST(run.checkpoint.bytes == s.values + s.optimizer);
      if (deck.model.lora.enabled()) continue;
      // Nothing is kept of layers below the first that trains.
      BOOST_TEST(3 * s.tapes < all.tapes);
    }
  }
}

BOOST_AUTO_TEST_CASE(frozen_stages_send_no_gradients) {
  const std::string more = "pipe_parallel_size: 2\ngradient_accumulation_steps: 4\n";
  const RunPlan all = plan_of(kTiny + more, 2);
  const RunPlan head = plan_of(kTiny + more + "train_only: embed_out\n", 2);
  BOOST_TEST(all.stages[1].pipeline_traffic == all.stages[0].pipeline_traffic);
  BOOST_TEST(head.stages[0].pipeline_traffic == all.stages[0].pipeline_traffic);
  BOOST_TEST(head.stages[1].pipeline_traffic == 0);
  BOOST_TEST(head.stages[0].gradients == 0);
  BOOST_TEST(head.stages[0].tapes == 0);
}

BOOST_AUTO_TEST_CASE(a_gpu_keeps_no_copies) {
  const std::string deck = kTiny + "device: cuda\ncheckpoint_activations: true\n";
  const StagePlan here = plan_of(deck, 1).stages[0];
  const StagePlan there = plan_of(deck + "checkpoint_in_cpu: true\n", 1).stages[0];
  const std::int64_t inputs = 8 * 2 * 32 * 64 * 4;  // layers, samples, tokens, hidden, bytes
  BOOST_TEST(here.kept_on_host == 0);
  BOOST_TEST(there.kept_on_host == inputs);
  BOOST_TEST(there.tapes < here.tapes);
  BOOST_TEST(there.peak() < here.peak());
  BOOST_TEST(there.beside() == there.copy + inputs);
  BOOST_TEST(there.decisive(true) == there.reserved());  // two memories, never added
  const std::string on_cpu = kTiny + "checkpoint_activations: true\ncheckpoint_in_cpu: true\n";
  BOOST_TEST(plan_of(on_cpu, 1).stages[0].kept_on_host == 0);

  // A state on a GPU is copied in every kind of save. Copies that ranks share aren't pinned.
  const StagePlan waiting = plan_of(deck + "checkpoint: {async: false}\n", 1).stages[0];
  BOOST_TEST(waiting.copy == here.copy);
  const StagePlan shared =
      plan_of(deck + "checkpoint: {writers_per_node: 1}\n", 1, 1).stages[0];
  const auto ring = pinned_ring_bytes(static_cast<std::size_t>(here.copy));
  BOOST_TEST(shared.copy == here.copy + static_cast<std::int64_t>(ring));
}

/// A build without CUDA must forecast the same workspace for a run on a GPU elsewhere.
BOOST_AUTO_TEST_CASE(a_gpus_kernels_have_their_workspace) {
  const StagePlan cpu = plan_of(kTiny, 1).stages[0];
  const StagePlan gpu = plan_of(kTiny + "device: cuda\n", 1).stages[0];
  const std::int64_t workspace = std::int64_t{65} << 20U;
  BOOST_TEST(gpu.peak() - cpu.peak() == workspace);
  BOOST_TEST(gpu.reserved() - cpu.reserved() == workspace);
}

BOOST_AUTO_TEST_CASE(replicas_reduce_all_and_share_the_writing) {
  const RunPlan run = plan_of(kTiny, 4);
  // One micro-batch: every gradient is reduced, and every sum is gathered.
  BOOST_TEST(run.stages[0].reduced == 2 * run.stages[0].parameters);
  BOOST_TEST(run.checkpoint.bytes == 12 * run.stages[0].parameters);
  BOOST_TEST(run.checkpoint.writers == 4);
  BOOST_TEST(run.checkpoint.most - run.checkpoint.least <= 2 * (64 << 10));
}

BOOST_AUTO_TEST_CASE(stages_hold_as_many_tapes_as_are_in_flight) {
  const std::string pipe = kTiny +
                           "pipe_parallel_size: 4\ngradient_accumulation_steps: 6\n"
                           "pipe_partition_method: type:transformer\n";
  const RunPlan one = plan_of(pipe + "pipeline_schedule: 1f1b\n", 4);
  const RunPlan all = plan_of(pipe + "pipeline_schedule: gpipe\n", 4);
  for (int stage = 0; stage < 4; ++stage) {
    const auto i = static_cast<std::size_t>(stage);
    BOOST_TEST(one.stages[i].in_flight == 4 - stage);
    BOOST_TEST(all.stages[i].in_flight == 6);
    BOOST_TEST(one.stages[i].tapes * 6 == all.stages[i].tapes * (4 - stage));
  }
  // Messages of all forwards may wait to be sent until the first gradient comes back.
  const std::int64_t message = std::int64_t{2} * 32 * 64 * 4;
  BOOST_TEST(one.stages[0].unsent == 4 * message);
  BOOST_TEST(all.stages[0].unsent == 6 * message);
  // For every micro-batch, a stage sends an activation down or a gradient up.
  BOOST_TEST(one.stages[0].pipeline_traffic == 6 * message);
  BOOST_TEST(one.stages[1].pipeline_traffic == 12 * message);
  BOOST_TEST(one.idle > 3.0 / 9);  // for equal stages; here the head makes the last one longer
  BOOST_TEST(one.idle < 0.6);
}

BOOST_AUTO_TEST_CASE(ranks_of_a_node_share_writers) {
  const std::string two = kTiny + "checkpoint: {writers_per_node: 2}\n";
  const RunPlan shared = plan_of(two, 20, 8);  // nodes of 8, 8 and 4 ranks
  const RunPlan each = plan_of(kTiny, 20);
  BOOST_TEST(each.checkpoint.writers == 20);
  BOOST_TEST(shared.checkpoint.writers == 6);
  BOOST_TEST(shared.checkpoint.bytes == each.checkpoint.bytes);
  BOOST_TEST(shared.checkpoint.most > 3 * each.checkpoint.least);
  BOOST_TEST(shared.checkpoint.most < 5 * each.checkpoint.most);
  TRM_TEST_MENTIONS(test::error_of([&] { (void)plan_of(two, 20); }), "--ranks-per-node");
}

BOOST_AUTO_TEST_CASE(stages_of_zero_cut_the_state) {
  const std::string many = kTiny + "gradient_accumulation_steps: 4\n";
  const auto stage = [&](int n, const std::string& more = {}) {
    return plan_of(many + fmt::format("zero_optimization: {{stage: {}, "
                                      "stage3_param_persistence_threshold: 0, "
                                      "stage3_prefetch_bucket_size: 0{}}}\n",
                                      n, more),
                   4)
        .stages[0];
  };
  const StagePlan zero = stage(0);
  BOOST_TEST(zero.reduced == 5 * zero.parameters);
  const StagePlan once = stage(1, ", reduce_once_per_step: true");
  BOOST_TEST(once.reduced == 2 * once.parameters);
  BOOST_TEST(once.gradients == zero.gradients);
  BOOST_TEST(4 * once.optimizer == zero.optimizer);
  for (const int n : {1, 2}) {
    const StagePlan cut = stage(n);
    BOOST_TEST(cut.reduced == 5 * cut.parameters);
    BOOST_TEST(cut.values == zero.values);
    BOOST_TEST(4 * cut.gradients == zero.gradients);
    BOOST_TEST(4 * cut.optimizer == zero.optimizer);
  }
  const StagePlan three = stage(3);
  BOOST_TEST(4 * three.values == zero.values);
  BOOST_TEST(4 * three.gradients == zero.gradients);
  BOOST_TEST(three.reduced > zero.reduced);
}

BOOST_AUTO_TEST_CASE(a_hundred_billion_parameters_on_ten_thousand_ranks) {
  const double begin = now();
  const Deck deck = deck_of(kHundredBillion, 10'000);
  const RunPlan run = plan_run(deck, 10'000, 0);
  BOOST_TEST(now() - begin < 10);
  const std::int64_t parameters = count_parameters(deck.model);
  BOOST_TEST(parameters > 100'000'000'000);
  BOOST_TEST(run.mesh.dp == 125);
  std::int64_t held = 0;
  for (const StagePlan& s : run.stages) {
    held += s.parameters * run.mesh.tp;
    BOOST_TEST(s.values + s.gradients + s.optimizer == 16 * s.parameters);
    BOOST_TEST(s.reduced == (deck.gradient_accumulation_steps + 1) * s.parameters);
    BOOST_TEST(s.activations > 0);
  }
  // Norms and biases stand on every rank of tp, and the fullest rank counts for all.
  BOOST_TEST(held >= parameters);
  BOOST_TEST(static_cast<double>(held) < 1.001 * static_cast<double>(parameters));
  BOOST_TEST(run.checkpoint.bytes == 12 * parameters);
  BOOST_TEST(run.checkpoint.writers == 10'000);
  BOOST_TEST(run.checkpoint.least > 0);
  BOOST_TEST(static_cast<double>(run.checkpoint.most) <
             1.3 * static_cast<double>(run.checkpoint.least));
}

/// The forecast adds shares up by arithmetic. A run lists its own pieces.
BOOST_AUTO_TEST_CASE(a_stage_copies_what_its_fullest_rank_lists) {
  for (const std::string& more :
       {std::string(), std::string("model_parallel_size: 2\n"),
        std::string("zero_optimization: {stage: 1}\nno_weight_tying: false\n"),
        std::string("model_parallel_size: 2\nprecision: bfloat16\n"
                    "zero_optimization: {stage: 3, stage3_param_persistence_threshold: 100, "
                    "reduce_bucket_size: 7000}\n")}) {
    std::string text = kTiny + more;
    if (more.find("no_weight_tying") != std::string::npos) {
      text.erase(text.find("no_weight_tying: true\n"), 22);
    }
    const Deck deck = deck_of(text, 14);
    const RunPlan run = plan_run(deck, 14, 0);
    std::int64_t fullest = 0;  // bytes of the tp index that needs the most
    std::int64_t most = 0;     // what its ranks copy
    for (int tp = 0; tp < run.mesh.tp; ++tp) {
      StagePlan first;
      std::int64_t copies = 0;
      for (int dp = 0; dp < run.mesh.dp; ++dp) {
        const StagePlan p = plan_rank(deck, run.mesh, {.dp = dp, .tp = tp, .pp = 0});
        if (dp == 0) first = p;
        copies = std::max(copies, p.copy);
      }
      if (first.reserved() + copies > fullest) most = copies;
      fullest = std::max(fullest, first.reserved() + copies);
    }
    BOOST_TEST_CONTEXT(more) { BOOST_TEST(run.stages[0].copy == most); }
  }
}

BOOST_AUTO_TEST_CASE(ten_thousand_replicas_are_planned_at_once) {
  const double begin = now();
  const std::string more = "gradient_accumulation_steps: 1\nzero_optimization: {stage: 1}\n";
  const RunPlan run = plan_of(kTiny + more, 10'000);
  BOOST_TEST(now() - begin < 10);  // a listing of each rank's pieces took half a minute
  BOOST_TEST(run.checkpoint.bytes == 12 * count_parameters(deck_of(kTiny, 1).model));
  BOOST_TEST(run.checkpoint.writers > 1'000);
}

BOOST_AUTO_TEST_CASE(plans_are_bounded) {
  const auto error = [](const std::string& more, int ranks) {
    return test::error_of([&] { (void)plan_of(kTiny + more, ranks); });
  };
  TRM_TEST_MENTIONS(error("gradient_accumulation_steps: 1000000\n", 1),
                    "8 layers × 1000000 micro-batches");
  std::string wide = kTiny;
  wide.replace(wide.find("seq_length: 32"), 14,
               "seq_length: 30000000\nmax_position_embeddings: "
               "30000000");
  TRM_TEST_MENTIONS(
      test::error_of([&] { (void)plan_of(wide + "gradient_accumulation_steps: 5\n", 1); }),
      "tokens a rank");
  std::string deep = kTiny;
  deep.replace(deep.find("num_layers: 8"), 13, "num_layers: 10000");
  TRM_TEST_MENTIONS(
      test::error_of([&] { (void)plan_of(deep + "pipe_parallel_size: 1000\n", 1000); }),
      "10000 layers on 1000 stages");
}
