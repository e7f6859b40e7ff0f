// SPDX-License-Identifier: Apache-2.0
// Predicted times against arithmetic by hand and against published runs, and the search.
#include "trireme/forecast/time_plan.hpp"

#include <algorithm>
#include <cmath>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/forecast/memory_plan.hpp"
#include "trireme/forecast/run_plan.hpp"
#include "trireme/forecast/search.hpp"
#include "trireme/model/transformer.hpp"

#include "../support/error_of.hpp"

using namespace trireme;
namespace bdata = boost::unit_test::data;

namespace {

/// A machine on which GEMMs alone take time.
Machine gemms_only() {
  Machine m;
  m.gemm_fp32 = m.gemm_half = 1e12;
  m.attention_share = 1e9;
  m.memory_bandwidth = 1e30;
  m.node = m.network = {1e30, 0};
  m.ranks_per_node = 4;
  return m;
}

Deck deck_of(const std::string& more, int ranks, int vocabulary = 1024) {
  Deck deck = parse_deck(fmt::format(R"(
num_layers: 8
hidden_size: 256
num_attention_heads: 8
seq_length: 128
vocab_size: {}
no_weight_tying: true
pos_emb: rotary
train_batch_size: 64
train_iters: 100
lr: 1e-3
{})",
                                     vocabulary, more),
                         "deck");
  resolve(deck, ranks);
  return deck;
}

TimePlan time_of(const std::string& more, int ranks, const Machine& machine,
                 int vocabulary = 1024) {
  const Deck deck = deck_of(more, ranks, vocabulary);
  return plan_time(deck, mesh_shape(deck, ranks), machine);
}

/// FLOPs of a step's GEMMs: 6 per element of a layer's matrices and of the output matrix.
double gemm_flops(double layers) {
  const double h = 256;
  return 6.0 * 64 * 128 * (layers * 12 * h * h + h * 1024);
}

bool close(double a, double b, double relative = 1e-9) {
  return std::abs(a - b) <= relative * std::abs(b);
}

/// A run of Narayanan et al., arXiv 2104.04473, table 1: the shape, the ranks, the batch and
/// the achieved teraFLOP/s of a GPU. All have 51,200 tokens of vocabulary, 2048 tokens a sample
/// and full recompute. The paper gives no micro-batch; 2 is the largest that it discusses for
/// the large models, and 8 fills the smallest.
struct Published {
  const char* name;
  int layers, hidden, heads, tp, pp, ranks, batch, micro, chunks;
  double tflops;
};
std::ostream& operator<<(std::ostream& out, const Published& p) { return out << p.name; }

const std::vector<Published> kPublished = {
    {"1.7B", 24, 2304, 24, 1, 1, 32, 512, 8, 1, 137},
    {"3.6B", 30, 3072, 32, 2, 1, 64, 512, 8, 1, 138},
    {"7.5B", 36, 4096, 32, 4, 1, 128, 512, 8, 1, 142},
    {"18.4B", 40, 6144, 48, 8, 1, 256, 1024, 8, 1, 135},
    {"39.1B", 48, 8192, 64, 8, 2, 512, 1536, 4, 2, 138},
    {"76.1B", 60, 10240, 80, 8, 4, 1024, 1792, 2, 3, 140},
    {"145.6B", 80, 12288, 96, 8, 8, 1536, 2304, 2, 2, 148},
    {"310.1B", 96, 16384, 128, 8, 16, 1920, 2160, 1, 2, 155},
    {"529.6B", 105, 20480, 128, 8, 35, 2520, 2520, 1, 1, 163},
    {"1008B", 128, 25600, 160, 8, 64, 3072, 3072, 1, 2, 163}};

/// The paper's FLOPs of a step, equation 3: recompute included.
double published_flops(const Published& p) {
  const double h = p.hidden;
  const double s = 2048;
  return 96.0 * p.batch * s * p.layers * h * h *
         (1 + s / (6 * h) + 51200.0 / (16.0 * p.layers * h));
}

}  // namespace

BOOST_AUTO_TEST_CASE(gemms_take_their_operations_over_the_rate) {
  const TimePlan t = time_of("", 1, gemms_only());
  BOOST_TEST(close(t.compute, gemm_flops(8) / 1e12));
  BOOST_TEST(t.tensor == 0);
  BOOST_TEST(t.data < 1e-12);
  BOOST_TEST(t.pipeline < 1e-12);
  BOOST_TEST(t.bound_by() == "compute");
  BOOST_TEST(close(time_of("model_parallel_size: 2", 2, gemms_only()).compute, t.compute / 2));
  BOOST_TEST(close(time_of("", 4, gemms_only()).compute, t.compute / 4));
}

BOOST_AUTO_TEST_CASE(frozen_parameters_save_their_gemms_and_collectives) {
  const Machine m = gemms_only();
  const double h = 256;
  const double tokens = 64 * 128;
  const double layer = 2 * tokens * 12 * h * h;  // FLOPs of a forward
  const double head = 2 * tokens * h * 1024;
  // Layers 6 and 7 train: six layers have forward alone, and the head needs its input's
  // gradient.
  const TimePlan upper = time_of("train_only: ['layers.[67]']", 1, m);
  BOOST_TEST(close(upper.compute, (6 * layer + 2 * 3 * layer + 2 * head) / 1e12, 1e-3));
  // The head alone: its own gradient, and none of its input.
  const TimePlan last = time_of("train_only: [embed_out]", 1, m);
  BOOST_TEST(close(last.compute, (8 * layer + 2 * head) / 1e12, 1e-3));
  const TimePlan all = time_of("", 4, m);
  const TimePlan adapters = time_of("lora: {rank: 4}", 4, m);
  BOOST_TEST(adapters.compute < 0.75 * all.compute);
  BOOST_TEST(adapters.compute > 0.6 * all.compute);
}

BOOST_AUTO_TEST_CASE(full_recompute_adds_a_forward_of_the_layers) {
  const double layers = gemm_flops(8) - gemm_flops(0);
  const TimePlan t = time_of("checkpoint_activations: true", 1, gemms_only());
  BOOST_TEST(close(t.compute, (gemm_flops(8) + layers / 3) / 1e12));
}

BOOST_AUTO_TEST_CASE(stages_wait_as_the_published_formula_says) {
  // Eight layers on four equal stages: the head's time is taken away by its tiny vocabulary.
  const std::string pipeline = "pipe_parallel_size: 4\ntrain_micro_batch_size_per_gpu: 4\n";
  const TimePlan t = time_of(pipeline, 4, gemms_only(), 8);
  BOOST_TEST(close(t.pipeline / t.step(), 3.0 / (16 + 3), 0.01));
  const TimePlan interleaved =
      time_of(pipeline + "virtual_pipeline_chunks: 2\n", 4, gemms_only(), 8);
  BOOST_TEST(close(interleaved.pipeline / interleaved.step(), 1.5 / (16 + 1.5), 0.01));
  const Deck deck = deck_of(pipeline, 4, 8);
  const double estimate = estimate_time(deck, mesh_shape(deck, 4), gemms_only()).step();
  BOOST_TEST(close(estimate, t.step(), 0.01));
}

BOOST_AUTO_TEST_CASE(collectives_take_their_bytes_over_the_link) {
  Machine m = gemms_only();
  m.overlap = 0;
  m.node.bandwidth = 1e9;
  // tp: two all-reduces of the activations a layer and direction, one each for embedding and
  // head, a half of each array for a reduce-scatter and a half for a gather.
  const double array = 64.0 * 128 * 256 * 4;
  const TimePlan tp = time_of("model_parallel_size: 2", 2, m);
  BOOST_TEST(close(tp.tensor, (8 * 4 + 2 + 1) * array / 1e9));
  // dp: a reduction after the only micro-batch and a gather of the sums.
  const TimePlan dp = time_of("", 2, m);
  const double elements = static_cast<double>(count_parameters(deck_of("", 1).model));
  BOOST_TEST(close(dp.data, 2 * 0.5 * elements * 4 / 1e9));
  // Stage 3 gathers values for forward and backward instead.
  const TimePlan three = time_of("zero_optimization: {stage: 3}", 2, m);
  BOOST_TEST(close(three.data, 3 * 0.5 * elements * 4 / 1e9));
  // Ranks of dp on two nodes use the network.
  m.network.bandwidth = 1e8;
  m.ranks_per_node = 1;
  BOOST_TEST(close(time_of("", 2, m).data, 10 * dp.data));
}

BOOST_AUTO_TEST_CASE(computation_hides_communication_as_far_as_the_machine_can) {
  Machine m = gemms_only();
  m.node.bandwidth = 1e9;
  m.overlap = 0;
  const double exposed = time_of("", 2, m).data;
  m.overlap = 0.5;
  const double half = time_of("", 2, m).data;
  BOOST_TEST(half < exposed);
  BOOST_TEST(close(time_of("zero_optimization: {overlap_comm: false}", 2, m).data, exposed));
}

BOOST_DATA_TEST_CASE(published_runs_are_predicted, bdata::make(kPublished), p) {
  const Machine machine =
      read_machine(TRIREME_TEST_DIR "/../inputs/machines/a100-infiniband.yml");
  const std::string text = fmt::format(
      "num_layers: {}\nhidden_size: {}\nnum_attention_heads: {}\nseq_length: 2048\n"
      "vocab_size: 51200\nmodel_parallel_size: {}\npipe_parallel_size: {}\n"
      "virtual_pipeline_chunks: {}\ntrain_batch_size: {}\ntrain_micro_batch_size_per_gpu: {}\n"
      "precision: fp16\ncheckpoint_activations: true\ntrain_iters: 1\nlr: 1e-4\n"
      "zero_optimization: {{reduce_once_per_step: true}}\n",
      p.layers, p.hidden, p.heads, p.tp, p.pp, p.chunks, p.batch, p.micro);
  Deck deck = parse_deck(text, p.name);
  resolve(deck, p.ranks);
  const TimePlan t = plan_time(deck, mesh_shape(deck, p.ranks), machine);
  const double tflops = published_flops(p) / t.step() / p.ranks * 1e-12;
  BOOST_TEST_MESSAGE(fmt::format("{}: {:.0f} TFLOP/s predicted, {:.0f} published ({:+.0f} %)",
                                 p.name, tflops, p.tflops, 100 * (tflops / p.tflops - 1)));
  BOOST_TEST(std::abs(tflops / p.tflops - 1) < 0.15);
}

BOOST_AUTO_TEST_CASE(the_search_finds_what_trying_all_would_find) {
  Machine m = gemms_only();
  m.memory_bandwidth = 1e11;
  m.kernel_seconds = 1e-6;
  m.node = {1e10, 1e-6};
  m.network = {1e9, 1e-5};
  const Deck deck = deck_of("", 8);
  const std::int64_t room = std::int64_t{1} << 40U;
  const auto quiet = [](const std::string& /*text*/) {};
  const SearchResult all = search_layouts(deck, 8, m, room, 100'000, quiet);
  BOOST_TEST(static_cast<std::int64_t>(all.best.size()) == all.tried);
  for (const FoundLayout& f : all.best) {
    Deck d = with_layout(deck, f.layout);
    BOOST_CHECK_NO_THROW(resolve(d, 8));  // each layout is one that a run would take
    BOOST_TEST(d.train_batch_size == 64);
  }
  const SearchResult ten = search_layouts(deck, 8, m, room, 10, quiet);
  BOOST_TEST(ten.best.size() == 10U);
  for (std::size_t i = 0; i < 10; ++i) {
    BOOST_TEST(ten.best[i].time.step() == all.best[i].time.step());
  }
}

BOOST_AUTO_TEST_CASE(where_nothing_hides_collectives_gradients_are_reduced_once) {
  Machine m = gemms_only();
  m.node = {1e9, 1e-5};
  m.network = {1e9, 1e-5};
  m.overlap = 0;
  const Deck deck = deck_of("", 8);
  const SearchResult all = search_layouts(deck, 8, m, std::int64_t{1} << 40U, 100'000,
                                          [](const std::string& /*text*/) {});
  const auto best = std::ranges::find_if(all.best, [](const FoundLayout& f) {
    return f.layout.dp > 1 && f.layout.accumulation > 1;
  });
  BOOST_REQUIRE((best != all.best.end()));
  BOOST_TEST(best->layout.reduce_once);
}

BOOST_AUTO_TEST_CASE(layouts_that_need_too_much_memory_are_left_out) {
  const Deck deck = deck_of("", 4);
  const auto quiet = [](const std::string& /*text*/) {};
  const std::int64_t room = std::int64_t{67} << 20U;
  const SearchResult found = search_layouts(deck, 4, gemms_only(), room, 5, quiet);
  BOOST_TEST(!found.best.empty());
  BOOST_TEST(found.too_large > 0);
  for (const FoundLayout& f : found.best) {
    BOOST_TEST(f.memory <= room);
    Deck d = with_layout(deck, f.layout);
    resolve(d, 4);
    std::int64_t most = 0;  // the whole forecast agrees
    const RunPlan run = plan_run(d, 4, 0);
    for (const StagePlan& s : run.stages) most = std::max(most, s.decisive(run.on_gpu));
    most += besides_arrays(d, run).sum();
    BOOST_TEST(std::abs(static_cast<double>(most - f.memory)) <
               0.05 * static_cast<double>(most));
  }
  BOOST_TEST(search_layouts(deck, 4, gemms_only(), 1000, 5, quiet).best.empty());
}

BOOST_AUTO_TEST_CASE(features_of_stage_3_keep_the_stage) {
  for (const char* key : {"zero_hpz_partition_size: 2", "zero_quantized_weights: true"}) {
    const Deck deck =
        deck_of(fmt::format("device: cpu\nzero_optimization: {{stage: 3, {}}}\n", key), 4);
    const SearchResult found = search_layouts(deck, 4, gemms_only(), std::int64_t{1} << 40U,
                                              100'000, [](const std::string& /*text*/) {});
    BOOST_REQUIRE(!found.best.empty());
    for (const FoundLayout& f : found.best) {
      Deck d = with_layout(deck, f.layout);
      BOOST_CHECK_NO_THROW(resolve(d, 4));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_written_layout_is_the_layout) {
  const Layout pipeline{.dp = 1,
                        .tp = 2,
                        .pp = 2,
                        .chunks = 2,
                        .micro_batch = 4,
                        .accumulation = 16,
                        .zero_stage = 0,
                        .sequence_parallel = true,
                        .recompute = RecomputeConfig::Kind::selective};
  const Layout replicas{.dp = 2,
                        .tp = 2,
                        .micro_batch = 4,
                        .accumulation = 8,
                        .zero_stage = 1,
                        .reduce_once = true};
  for (const Layout& l : {pipeline, replicas}) {
    const Deck deck = deck_of(layout_yaml(l), 4);
    Deck expected = with_layout(deck_of("", 4), l);
    BOOST_TEST((deck == expected));
  }
}

BOOST_AUTO_TEST_CASE(an_explanation_names_the_largest_difference_first) {
  FoundLayout slow;
  slow.time = {.compute = 1, .tensor = 3, .pipeline = 1};
  slow.layout.tp = 8;
  FoundLayout fast;
  fast.time = {.compute = 1, .tensor = 0.5};
  const auto lines = explain_difference(slow, fast);
  BOOST_REQUIRE(lines.size() == 2U);
  BOOST_TEST(lines[0] == "+2.5 s: ranks of tp wait for each other (tp 8 instead of 1)");
  BOOST_TEST(lines[1].find("stages wait longer") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_timeline_has_each_step_once_in_order) {
  const Deck deck = deck_of("pipe_parallel_size: 2\ntrain_micro_batch_size_per_gpu: 16\n", 2);
  const auto steps = plan_timeline(deck, mesh_shape(deck, 2), gemms_only());
  BOOST_REQUIRE(steps.size() == 2U * 2 * 4);
  double last = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (i > 0 && steps[i].stage == steps[i - 1].stage) {
      BOOST_TEST(steps[i].begin >= steps[i - 1].end);
    }
    last = std::max(last, steps[i].end);
  }
  const TimePlan t = plan_time(deck, mesh_shape(deck, 2), gemms_only());
  BOOST_TEST(close(last, t.compute + t.pipeline, 1e-6));
  const std::string svg = timeline_svg(steps);
  std::size_t rectangles = 0;
  std::size_t at = svg.find("<rect x");
  for (; at != std::string::npos; at = svg.find("<rect x", at + 1)) {
    ++rectangles;
  }
  BOOST_TEST(rectangles == steps.size());
}
