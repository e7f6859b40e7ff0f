// SPDX-License-Identifier: Apache-2.0
// Each error of a deck, provoked once, and how resolve() derives ranks and batches.
#include <cmath>
#include <ctime>
#include <fstream>

#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"
#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

Deck least(const std::string& more = "") { return parse_deck(kLeast + more, "x.yml"); }

std::string resolve_error(const std::string& more, int ranks) {
  Deck d = least(more);
  return message_of([&] { resolve(d, ranks); });
}

struct Batch {
  std::int64_t train, micro, steps;
  bool operator==(const Batch&) const = default;
};

Batch batch_of(const std::string& keys, int ranks) {
  Deck d = least("train_batch_size: null\n");
  d.train_micro_batch_size_per_gpu = 0;
  const Deck asked = parse_deck(
      "num_layers: 4\nhidden_size: 64\nnum_attention_heads: 4\nseq_length: 32\n"
      "train_iters: 9\nlr: 1\nvocab_size: 9\n" +
          keys,
      "x.yml");
  d.train_batch_size = asked.train_batch_size;
  d.train_micro_batch_size_per_gpu = asked.train_micro_batch_size_per_gpu;
  d.gradient_accumulation_steps = asked.gradient_accumulation_steps;
  resolve(d, ranks);
  return {d.train_batch_size, d.train_micro_batch_size_per_gpu, d.gradient_accumulation_steps};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_errors)

BOOST_AUTO_TEST_CASE(files) {
  const auto error = [](const std::string& path) {
    return message_of([&] { static_cast<void>(read_deck({path})); });
  };
  CHECK_CONTAINS(error("/nowhere/x.yml"),
                 "/nowhere/x.yml: cannot open the deck: No such file or directory");
  CHECK_CONTAINS(error("/"), "/: cannot read the deck: Is a directory");
  CHECK_CONTAINS(parse_error(std::string("a\0b", 3)), "x.yml: this is not a text file");
}

BOOST_AUTO_TEST_CASE(yaml) {
  CHECK_CONTAINS(parse_error("{num_layers: 1\n hidden_size: 2,\n"), "x.yml:1:1:");
  CHECK_CONTAINS(parse_error("{num_layers: 1\n hidden_size: 2,\n"), "YAML error: ");
  CHECK_CONTAINS(parse_error("[1, 2]"), "x.yml:1:1: a deck is a dictionary");
  CHECK_CONTAINS(parse_error("a: 1\n---\nb: 2\n"), "x.yml:2:1: YAML error: stray text");
  CHECK_CONTAINS(parse_error("{a: 1}\nb"), "x.yml:2:1: YAML error: stray text");
  CHECK_CONTAINS(parse_error(", a: 1\n"), "x.yml:1:1: YAML error: stray text");
  CHECK_CONTAINS(parse_error("save: &a [*a]\n"), "nested more than 100 deep");
  CHECK_CONTAINS(parse_error("? [a]\n: 1\n"), "x.yml:1:3: expects a key here");
  CHECK_CONTAINS(parse_error("{\"a\\nb\": 1}"), "x.yml:1:2: expects a key here");
  CHECK_CONTAINS(parse_error(""), "x.yml: missing keys: num_layers, hidden_size, ");
}

BOOST_AUTO_TEST_CASE(limits_are_named) {
  const std::clock_t begin = std::clock();  // processor time, on a busy machine too
  CHECK_CONTAINS(parse_error(std::string(102, '[') + std::string(102, ']')), "100 deep");
  std::string many = "save: [";
  for (int i = 0; i < 100'000; ++i) many += "1,";
  CHECK_CONTAINS(parse_error(many + "]"), "a deck may have 100000 values");
  std::string keys;
  for (int i = 0; i < 99'000; ++i) keys += fmt::format("key{}: 1\n", i);
  CHECK_CONTAINS(parse_error(keys), "x.yml:10001:1: a deck may have 10000 keys");
  CHECK_CONTAINS(parse_error(kLeast + "pipe_partition_method: 'type:((a{99}){99}){99}'\n"),
                 "invalid repetition size");
  CHECK_CONTAINS(parse_error("num_layers: 1e9\n" + kLeast.substr(kLeast.find('\n') + 1)),
                 "num_layers must be ≥ 1 and ≤ 10000, is 1e9");
  std::string wide = kLeast;
  wide.replace(wide.find("seq_length: 32"), 14, "seq_length: 1e8");
  Deck deck = parse_deck(wide + "vocab_size: 1e9\n", "x.yml");
  CHECK_CONTAINS(message_of([&] { resolve(deck, 1); }), "are possible");
  const auto override_error = [](const std::string& text) {
    return message_of([&] { static_cast<void>(read_deck({}, {text})); });
  };
  CHECK_CONTAINS(override_error(std::string(60'000, '.') + "=1"), "nested 100 deep");
  CHECK_CONTAINS(override_error("save=" + std::string(500'000, '[')), "YAML error");
  BOOST_CHECK(override_error(std::string(300'000, 'a') + "=1").size() < 400'000);
  BOOST_CHECK(std::clock() - begin < 10 * CLOCKS_PER_SEC);
  const TemporaryFolder folder;
  std::ofstream(folder / "large.yml") << std::string(1'000'001, '#');
  CHECK_CONTAINS(message_of([&] { static_cast<void>(read_deck({folder / "large.yml"})); }),
                 "large.yml: it has over 1 MB");
}

BOOST_AUTO_TEST_CASE(thousands_of_faults_are_bounded) {
  const std::clock_t begin = std::clock();
  std::string keys;
  for (int i = 0; i < 9'000; ++i) keys += fmt::format("num_layerz{}: 1\n", i);
  const std::string text = parse_error(keys);
  CHECK_CONTAINS(text, "9001 faults in the decks:\n");
  CHECK_CONTAINS(text, "\n  and 8801 more");
  BOOST_CHECK((std::clock() - begin) / CLOCKS_PER_SEC < 10);
}

BOOST_AUTO_TEST_CASE(patterns_that_never_ended_are_read) {
  Deck d = least("pipe_partition_method: type:(.*)*Z\n");
  CHECK_CONTAINS(message_of([&] { resolve(d, 1); }), "matches no layer");
}

BOOST_AUTO_TEST_CASE(control_characters_are_escaped) {
  CHECK_CONTAINS(parse_error(kLeast + "norm: \"a\\e[31mb\\nc\"\n"), "got 'a\\x1b[31mb\\nc'");
  CHECK_CONTAINS(message_of([] { static_cast<void>(read_deck({}, {"a\x1b=\n1"})); }),
                 "--set a\\x1b=\\n1");
}

BOOST_AUTO_TEST_CASE(characters_of_json_are_read) {
  const std::string deck = kLeast + "save: \"";
  BOOST_CHECK_EQUAL(parse_deck(deck + "a\\ud83d\\ude00b\"\n", "x.yml").save, "a\U0001F600b");
  BOOST_CHECK_EQUAL(parse_deck(deck + "\\\\ud83d\\\\ude00\"\n", "x.yml").save,
                    "\\ud83d\\ude00");
  CHECK_CONTAINS(parse_error(deck + "\\ud83d\"\n"), "x.yml:9:");
}

BOOST_AUTO_TEST_CASE(keys) {
  CHECK_CONTAINS(parse_error(kLeast + "  \nnum_layer: 3\n"),
                 "x.yml:10:1: unknown key 'num_layer'; did you mean 'num_layers'?");
  CHECK_CONTAINS(parse_error(kLeast + "zero_optimization:\n  stag: 0\n"),
                 "x.yml:10:3: unknown key 'zero_optimization.stag'; did you mean "
                 "'zero_optimization.stage'?");
  CHECK_CONTAINS(parse_error(kLeast + "betas: [0.9, 0.95]\n"),
                 "did you mean 'optimizer.params.betas'?");
  CHECK_CONTAINS(parse_error(kLeast + "pos_embed: rotary\n"), "did you mean 'pos_emb'?");
  CHECK_CONTAINS(parse_error(kLeast + "xyzzy_plugh: 1\n"), "unknown key 'xyzzy_plugh'; `");
  CHECK_CONTAINS(parse_error(kLeast + "num-layers: 4\n"),
                 "x.yml:9:1: key 'num-layers' is given twice, first in line 1");
  CHECK_CONTAINS(parse_error(kLeast + "batch_size: 3\n"),
                 "x.yml:9:1: batch_size: 3 contradicts train_micro_batch_size_per_gpu: 2 in "
                 "line 7; keep one of them");
  CHECK_CONTAINS(parse_error(kLeast + "optimizer: {params: {lr: 2e-3}}\n"),
                 "optimizer.params.lr: 2e-3 contradicts lr: 1e-3 in line 6");
  BOOST_CHECK_EQUAL(least("optimizer: {params: {lr: 0.001}}\n").schedule.lr, 0.001);
  CHECK_CONTAINS(parse_error("num_layers: 3\nvocab_size: 5\n"),
                 "x.yml: missing keys: hidden_size, num_attention_heads, seq_length, "
                 "optimizer.params.lr, train_iters, train_micro_batch_size_per_gpu (or "
                 "train_batch_size)");
  CHECK_CONTAINS(parse_error(kLeast + "zero_optimization: 1\n"),
                 "zero_optimization expects a dictionary, got '1'");
  CHECK_CONTAINS(parse_error(kLeast + "train_data_paths: [a]\n"),
                 "train_data_paths contradicts data_path (x.yml:8:1)");
}

BOOST_AUTO_TEST_CASE(types_and_ranges) {
  const auto error = [](const std::string& line) { return parse_error(kLeast + line + "\n"); };
  CHECK_CONTAINS(error("eval_iters: abc"),
                 "x.yml:9:13: eval_iters expects an integer, got 'abc'");
  CHECK_CONTAINS(error("eval_iters: 1.5"), "expects an integer, got '1.5'");
  CHECK_CONTAINS(error("eval_iters: [1]"), "expects an integer, got [1]");
  CHECK_CONTAINS(error("eval_iters: 99999999999999999999"), "expects an integer");
  CHECK_CONTAINS(error("log_interval: 0"), "x.yml:9:15: log_interval must be ≥ 1, is 0");
  CHECK_CONTAINS(error("hidden_dropout: 1"), "hidden_dropout must be ≥ 0 and < 1, is 1");
  CHECK_CONTAINS(error("warmup: .nan"), "warmup expects a number, got '.nan'");
  CHECK_CONTAINS(error("warmup: 1.01"), "warmup must be ≥ 0 and ≤ 1, is 1.01");
  CHECK_CONTAINS(error("min_lr: 1e-3x"), "min_lr expects a number");
  CHECK_CONTAINS(error("sequence_parallel: 2"), "sequence_parallel expects true or false");
  CHECK_CONTAINS(error("norm: batchnorm"), "norm expects one of layernorm, rmsnorm, got");
  CHECK_CONTAINS(error("save: {a: 1}"), "save expects text, got {a: 1}");
  CHECK_CONTAINS(error("optimizer: {params: {betas: [0.9]}}"), "expects two numbers");
  CHECK_CONTAINS(error("pipe_partition_method: 'type:('"),
                 "(a regular expression), is 'type:('");
  CHECK_CONTAINS(error("pipe_partition_method: best"), "pipe_partition_method must be uniform");
  CHECK_CONTAINS(error("split: 0, 1"), "x.yml:9:8: split \"0, 1\"");
  CHECK_CONTAINS(error("expansion_factor: 1e300"), "gives the mlp an inner width of");
  BOOST_CHECK_EQUAL(least("eval_iters: 1e2\n").eval_iters, 100);
  BOOST_CHECK_EQUAL(least("eval_iters: \"7\"\n").eval_iters, 7);
  BOOST_CHECK_EQUAL(least("min_lr: 1e-5\n").schedule.min_lr, 1e-5);
  for (const char* yes : {"true", "True", "yes", "on"}) {
    BOOST_CHECK(least("gpt_j_residual: " + std::string(yes) + "\n").model.gpt_j_residual);
  }
}

BOOST_AUTO_TEST_CASE(features_that_are_not_available) {
  const auto error = [](const std::string& line) { return parse_error(kLeast + line + "\n"); };
  CHECK_CONTAINS(error("amp: {enabled: true}"), "amp.enabled: true is not available");
  CHECK_CONTAINS(error("zero_optimization: {offload_param: {device: cpu}}"), "offloaded");
  CHECK_CONTAINS(error("moe_num_experts: 8"), "moe_num_experts: 8 is not available");
  CHECK_CONTAINS(error("pos_emb: rpe"), "pos_emb: rpe is not available: use rotary");
  CHECK_CONTAINS(error("norm: scalenorm"), "use layernorm or rmsnorm");
  CHECK_CONTAINS(error("activation: mish"), "activation: mish is not available");
  CHECK_CONTAINS(error("optimizer: {type: MuAdam}"),
                 "use AdamW, Adam, SGD, Lion, Adagrad, madgrad_wd, Lamb, Adafactor, Muon, SM3, "
                 "OneBitAdam, OneBitLamb or ZeroOneAdam");
  CHECK_CONTAINS(error("optimizer: {params: {adam_w_mode: false}}"), "which type: Adam does");
  CHECK_CONTAINS(error("scheduler: {type: OneCycle}"), "OneCycle needs scheduler.params");
  CHECK_CONTAINS(error("attention_config: [[[\"global\", \"local\"], 2]]"), "attention_config");
  CHECK_CONTAINS(error("save_iters: [4]"), "use extra_save_iters");
  CHECK_CONTAINS(error("curriculum_learning: {enabled: true}"), "needs min_difficulty");
  CHECK_CONTAINS(error("soft_prompt_tuning: {num_tokens: 10}"), "soft_prompt_tuning");
  const std::string all = error("train_epochs: 3\namp: {enabled: true}\nchar_level_ppl: true");
  CHECK_CONTAINS(all, "3 faults in the decks:\n  x.yml:9:15: train_epochs: 3 is not available");
  CHECK_CONTAINS(all, "\n  x.yml:10:16: amp.enabled: true is not available: use precision: ");
  CHECK_CONTAINS(all, "\n  x.yml:11:17: char_level_ppl: true is not available: perplexity");
  const Deck off = least(
      "fp16: {enabled: false, loss_scale: 0}\nzero_optimization: {stage: 0, offload_param: "
      "{device: none}}\nmoe_num_experts: 1\nscheduler: null\nsave_iters: []\n"
      "attention_config: [[[\"global\"], 2], [[\"flash\"], 2]]\nprecision: fp32\n"
      "soft_prompt_tuning: {enabled: false, num_tokens: 10}\n"
      "bf16: null\namp: false\noptimizer: {params: {adam_w_mode: true, amsgrad: False}}\n");
  BOOST_CHECK(off.warnings.empty());
}

BOOST_AUTO_TEST_CASE(ranks) {
  CHECK_CONTAINS(resolve_error("pipe_parallel_size: 2\nmodel_parallel_size: 2\n", 6),
                 "6 ranks cannot hold pipe_parallel_size 2 × model_parallel_size 2 = 4 ranks");
  const MeshShape mesh =
      mesh_shape(least("pipe_parallel_size: 2\nmodel_parallel_size: 2\n"), 12);
  BOOST_CHECK(mesh.dp == 3 && mesh.tp == 2 && mesh.pp == 2);
}

BOOST_AUTO_TEST_CASE(batches) {
  BOOST_CHECK((batch_of("train_micro_batch_size_per_gpu: 4", 2) == Batch{8, 4, 1}));
  BOOST_CHECK((batch_of("train_batch_size: 12", 3) == Batch{12, 4, 1}));
  BOOST_CHECK((batch_of("train_batch_size: 12\ngas: 2", 3) == Batch{12, 2, 2}));
  BOOST_CHECK((batch_of("train_batch_size: 12\nbatch_size: 2", 3) == Batch{12, 2, 2}));
  BOOST_CHECK((batch_of("batch_size: 2\ngas: 5", 3) == Batch{30, 2, 5}));
  BOOST_CHECK((batch_of("train_batch_size: 30\nbatch_size: 2\ngas: 5", 3) == Batch{30, 2, 5}));
  CHECK_CONTAINS(resolve_error("train_batch_size: 32\ngas: 4\n", 2),
                 "contradicting batch sizes: train_batch_size 32 is not "
                 "train_micro_batch_size_per_gpu 2 × gradient_accumulation_steps 4 × 2 "
                 "data-parallel ranks = 16");
  CHECK_CONTAINS(resolve_error("train_batch_size: 7\n", 2),
                 "train_batch_size 7 is not divisible by train_micro_batch_size_per_gpu 2 × 2 "
                 "data-parallel ranks = 4");
  CHECK_CONTAINS(parse_error("gas: 4\n"), "train_micro_batch_size_per_gpu (or");
}

Deck alone(const std::string& keys) {
  return parse_deck(
      "num_layers: 4\nhidden_size: 64\nnum_attention_heads: 4\nseq_length: 32\nlr: 1\n"
      "vocab_size: 9\n" +
          keys,
      "x.yml");
}

BOOST_AUTO_TEST_CASE(tokens_that_cannot_be_counted) {
  Deck d = alone("train_batch_size: 2\ntrain_iters: 9000000000000000000\n");
  CHECK_CONTAINS(message_of([&] { resolve(d, 1); }),
                 "are more tokens than can be counted; lower train_iters");
}

/// A resumed run keeps its batch where the deck only derives one.
BOOST_AUTO_TEST_CASE(batches_that_are_derived) {
  const auto derives = [](const std::string& keys) {
    Deck d = alone("train_iters: 9\n" + keys);
    resolve(d, 2);
    resolve(d, 2);  // changes nothing
    return std::pair(d.derives_batch, d.derives_accumulation);
  };
  BOOST_CHECK(derives("train_micro_batch_size_per_gpu: 4\n") == std::pair(true, true));
  BOOST_CHECK(derives("batch_size: 2\ngas: 5\n") == std::pair(true, false));
  BOOST_CHECK(derives("train_batch_size: 12\n") == std::pair(false, true));
}

BOOST_AUTO_TEST_CASE(models_that_do_not_fit) {
  CHECK_CONTAINS(resolve_error("num_kv_heads: 3\n", 1), "num_kv_heads 3");
  CHECK_CONTAINS(resolve_error("pos_emb: rotary\nrotary_pct: 0.2\n", 1), "even number");
  CHECK_CONTAINS(resolve_error("max_position_embeddings: 16\n", 1), "less than seq_length 32");
  CHECK_CONTAINS(resolve_error("gpt_j_tied: true\n", 1), "needs gpt_j_residual");
  CHECK_CONTAINS(resolve_error("model_parallel_size: 8\n", 8),
                 "num_attention_heads 4 is not divisible by model_parallel_size 8");
  CHECK_CONTAINS(resolve_error("model_parallel_size: 2\nnum_kv_heads: 1\n", 2),
                 "num_kv_heads 1 is not divisible by model_parallel_size 2");
  CHECK_CONTAINS(resolve_error("model_parallel_size: 4\nintermediate_size: 202\n", 4),
                 "intermediate_size 202");
  CHECK_CONTAINS(
      resolve_error("model_parallel_size: 4\nactivation: geglu\nintermediate_size: 306\n", 4),
      "the inner width of the gated mlp, a third of intermediate_size, 102 is not");
  CHECK_CONTAINS(resolve_error("pipe_parallel_size: 8\n", 8), "fewer layers than stages");
  CHECK_CONTAINS(resolve_error("pipe_parallel_size: 2\nvirtual_pipeline_chunks: 4\n", 2),
                 "num_layers 4 < pipe_parallel_size 2 × virtual_pipeline_chunks 4");
  CHECK_CONTAINS(resolve_error("virtual_pipeline_chunks: 2\n", 2), "requires a pipeline");
  CHECK_CONTAINS(resolve_error("pipe_parallel_size: 2\nvirtual_pipeline_chunks: 2\ngas: 2\n"
                               "pipeline_schedule: gpipe\n",
                               2),
                 "gpipe has no virtual_pipeline_chunks");
  CHECK_CONTAINS(resolve_error("min_lr: 1\n", 1), "min_lr 1 is above lr 0.001");
  CHECK_CONTAINS(resolve_error("train_data_weights: [1]\n", 1),
                 "train_data_weights has 1 values");
  Deck d = least("model_parallel_size: 4\nsequence_parallel: true\n");
  d.model.seq_length = 31;
  CHECK_CONTAINS(message_of([&] { resolve(d, 4); }), "= 62 tokens are not divisible");
  d = least();
  d.model.hidden_size = 66;
  CHECK_CONTAINS(message_of([&] { resolve(d, 1); }), "hidden_size 66 is not divisible");
}

BOOST_AUTO_TEST_CASE(resolving_twice_changes_nothing) {
  Deck d = least(
      "pipe_parallel_size: 2\nmodel_parallel_size: 2\ngas: 4\n"
      "virtual_pipeline_chunks: 2\nsequence_parallel: true\nactivation: swiglu\n"
      "intermediate_size: 300\n");
  resolve(d, 8);
  BOOST_CHECK_EQUAL(d.train_batch_size, 2 * 4 * 2);
  const std::string text = to_yaml(d);
  Deck again = parse_deck(text, "y.yml");
  BOOST_CHECK(again == d);
  resolve(again, 8);
  BOOST_CHECK(again == d);
}

BOOST_AUTO_TEST_CASE(splits) {
  const auto three = split_fractions("969, 30, 1");
  BOOST_CHECK_CLOSE(three[0], 0.969, 1e-10);
  BOOST_CHECK_CLOSE(three[2], 0.001, 1e-10);
  BOOST_CHECK_EQUAL(split_fractions("5")[0], 1.0);
  BOOST_CHECK_EQUAL(split_fractions("1,1")[1], 0.5);
  for (const char* bad :
       {"", "a", "1,", "1,2,3,4", "-1,2", "0,1", "1 2", "nan", "1e308,1e308"}) {
    CHECK_CONTAINS(message_of([&] { static_cast<void>(split_fractions(bad)); }), "split \"");
  }
}

BOOST_AUTO_TEST_SUITE_END()
