// SPDX-License-Identifier: Apache-2.0
// Reading decks: the dialects, merging, overrides, the list of keys, and writing back.
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include <boost/test/unit_test.hpp>

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

const std::string kNeox = R"(# A small model in the style of GPT-NeoX's decks
{
   # parallelism settings
   "pipe-parallel-size": 0,
   "model-parallel-size": 2,

   # model settings
   "num-layers": 12,
   "hidden-size": 768,
   "num-attention-heads": 12,
   "seq-length": 2048,
   "max-position-embeddings": 2048,
   "norm": "layernorm",
   "pos-emb": "rotary",
   "rotary-pct": 0.25,
   "no-weight-tying": true,
   "gpt_j_residual": True,
   "output-layer-parallelism": "column",
   "attention-config": [[["flash"], 12]],

   "scaled-upper-triang-masked-softmax-fusion": true,
   "bias-gelu-fusion": true,
   "init_method": "small_init",
   "output_layer_init_method": "wang_init",

   "optimizer": {
     "type": "Adam",
     "params": {
       "lr": 0.0006,
       "betas": [0.9, 0.95],
       "eps": 1.0e-8,
     }
   },
   "min_lr": 0.00006,
   "zero_optimization": {
    "stage": 0,
    "allgather_partitions": True,
    "overlap_comm": True,
    "reduce_bucket_size": 500000000,
  },

   # batch / data settings
   "train_micro_batch_size_per_gpu": 4,
   "gas": 2,
   "data-impl": "mmap",
   "checkpoint-activations": false,
   "gradient_clipping": 1.0,
   "weight-decay": 0.1,
   "hidden-dropout": 0,
   "fp16": {
     "enabled": false,
     "loss_scale": 0,
     "hysteresis": 2,
   },

   "train-iters": 3.2e5,
   "lr-decay-style": "cosine",
   "warmup": 0.01,
   "checkpoint-factor": 10000,
   "eval-interval": 1000,
   "eval-iters": 10,
   "log-interval": 100,
   "steps_per_print": 10,
   "data-path": "data/enwik8_text_document",
   "vocab-file": "data/gpt2-vocab.json",
}
)";

std::vector<std::string> known_keys() {
  std::ifstream file(TRIREME_TEST_DIR "/deck/known_keys.txt");
  std::vector<std::string> keys;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line[0] != '#') keys.push_back(line);
  }
  return keys;
}

/// A line of a deck that gives the key `a.b.c` a value: {a: {b: {c: value}}}.
std::string as_yaml(std::string path, std::string value) {
  for (std::size_t dot = path.rfind('.'); dot != std::string::npos; dot = path.rfind('.')) {
    value = fmt::format("{{{}: {}}}", path.substr(dot + 1), value);
    path.resize(dot);
  }
  return path + ": " + value + "\n";
}

/// The least deck without `path`, or without the key whose alias `path` is.
std::string least_without(const std::string& path) {
  std::string text;
  std::string name = path == "batch_size" ? "train_micro_batch_size_per_gpu" : path;
  std::size_t at = 0;
  while (at < kLeast.size()) {
    const std::size_t end = kLeast.find('\n', at) + 1;
    const std::string line = kLeast.substr(at, end - at);
    if (!line.starts_with(name + ":")) text += line;
    at = end;
  }
  return text;
}

/// A file that the destructor removes.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& name, const std::string& text)
      : path_(std::filesystem::temp_directory_path() /
              (name + std::to_string(std::random_device{}()))) {
    std::ofstream(path_) << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] std::string str() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_reading)

BOOST_AUTO_TEST_CASE(neox_flow_mapping) {
  const Deck d = parse_deck(kNeox, "neox.yml");
  BOOST_CHECK_EQUAL(d.pipe_parallel_size, 1);
  BOOST_CHECK_EQUAL(d.model_parallel_size, 2);
  BOOST_CHECK_EQUAL(d.model.num_layers, 12);
  BOOST_CHECK_EQUAL(d.model.num_kv_heads, 12);
  BOOST_CHECK_EQUAL(d.model.intermediate_size, 3072);
  BOOST_CHECK(d.model.pos_emb == PositionEmbedding::rotary);
  BOOST_CHECK_EQUAL(d.model.rotary_pct, 0.25);
  BOOST_CHECK(d.model.no_weight_tying && d.model.gpt_j_residual);
  BOOST_CHECK(d.model.activation == Activation::gelu_tanh);
  BOOST_CHECK(d.model.init_method == InitMethod::small_init);
  BOOST_CHECK(d.model.output_layer_init_method == InitMethod::wang_init);
  BOOST_CHECK(d.optimizer.kind == OptimizerKind::adamw);
  BOOST_CHECK_EQUAL(d.schedule.lr, 0.0006);
  BOOST_CHECK_EQUAL(d.optimizer.beta2, 0.95);
  BOOST_CHECK_EQUAL(d.zero.reduce_bucket_size, 500'000'000);
  BOOST_CHECK_EQUAL(d.gradient_accumulation_steps, 2);
  BOOST_CHECK_EQUAL(d.train_iters, 320'000);
  BOOST_CHECK_EQUAL(d.schedule.lr_decay_iters, 320'000);
  BOOST_CHECK(d.schedule.lr_decay_style == DecayStyle::cosine);
  BOOST_REQUIRE_EQUAL(d.data_path.size(), 1U);
  BOOST_CHECK_EQUAL(d.data_path[0], "data/enwik8_text_document");
}

BOOST_AUTO_TEST_CASE(meaningless_keys_are_named_once_in_one_line) {
  const Deck d = parse_deck(kNeox, "neox.yml");
  BOOST_REQUIRE_EQUAL(d.warnings.size(), 1U);
  const std::string& w = d.warnings[0];
  for (const char* name :
       {"scaled_upper_triang_masked_softmax_fusion", "data_impl", "steps_per_print"}) {
    CHECK_CONTAINS(w, name);
  }
  BOOST_CHECK(!contains(w, "vocab_file"));
  BOOST_CHECK(!contains(w, "wandb"));
  BOOST_CHECK(!contains(w, "fp16"));
  BOOST_CHECK(!contains(w, "zero_optimization"));
  BOOST_CHECK(!contains(w, "attention_config"));
  BOOST_CHECK_EQUAL(w.find("data_impl"), w.rfind("data_impl"));
  const Deck t = parse_deck(kLeast + "csv_monitor: {enabled: true, job_name: a}\n", "x.yml");
  BOOST_REQUIRE_EQUAL(t.warnings.size(), 1U);
  BOOST_CHECK_EQUAL(t.warnings[0], "ignored, as these keys have no effect here: csv_monitor");
  BOOST_CHECK(parse_deck(kLeast, "x.yml").warnings.empty());
}

BOOST_AUTO_TEST_CASE(deepspeed_json) {
  const std::string model =
      "num_layers: 2\nhidden_size: 64\nnum_attention_heads: 4\nseq_length: 32\n"
      "train_iters: 10\nvocab_size: 257\n";
  const std::string json =
      "{\"train_batch_size\":16,\r\n\t\"optimizer\":{\"type\":\"SGD\",\"params\":{\"lr\":1e-3,"
      "\"momentum\":0.9,\"weight_decay\":0.01}},\"gradient_clipping\":0.5,"
      "\"bf16\":{\"enabled\":false},\"zero_optimization\":{\"stage\":0}}";
  const TemporaryFile a("model", model);
  const TemporaryFile b("deepspeed", json);
  const Deck d = read_deck({a.str(), b.str()});
  BOOST_CHECK_EQUAL(d.train_batch_size, 16);
  BOOST_CHECK(d.optimizer.kind == OptimizerKind::sgd);
  BOOST_CHECK_EQUAL(d.optimizer.momentum, 0.9);
  BOOST_CHECK_EQUAL(d.optimizer.weight_decay, 0.01);
  BOOST_CHECK_EQUAL(d.optimizer.gradient_clipping, 0.5);
  BOOST_CHECK_EQUAL(d.model.vocab_size, 257);
  BOOST_CHECK(d.data_path.empty());
  BOOST_CHECK(d.warnings.empty());
}

BOOST_AUTO_TEST_CASE(later_decks_win_key_by_key) {
  const TemporaryFile a("a", kLeast + "weight-decay: 0.2\neval_iters: 5\nsave: out\n");
  const TemporaryFile b("b",
                        "optimizer: {type: SGD, params: {momentum: 0.5}}\nweight_decay: 0.3\n");
  const TemporaryFile c("c", "optimizer: {params: {lr: 2e-3}}\nsave: null\n");
  const Deck d = read_deck({a.str(), b.str(), c.str()});
  BOOST_CHECK_EQUAL(d.optimizer.weight_decay, 0.3);
  BOOST_CHECK_EQUAL(d.eval_iters, 5);
  BOOST_CHECK(d.optimizer.kind == OptimizerKind::sgd);
  BOOST_CHECK_EQUAL(d.optimizer.momentum, 0.5);
  BOOST_CHECK_EQUAL(d.schedule.lr, 2e-3);  // the first deck's top-level `lr` does not count
  BOOST_CHECK_EQUAL(d.save, "");
  const TemporaryFile e("e", "optimizer: null\nlr: 1\n");
  const Deck f = read_deck({a.str(), b.str(), e.str()});
  BOOST_CHECK(f.optimizer.kind == OptimizerKind::adamw);
  BOOST_CHECK_EQUAL(f.schedule.lr, 1.0);
}

BOOST_AUTO_TEST_CASE(overrides_win_over_files) {
  const TemporaryFile a("a", kLeast);
  const Deck d =
      read_deck({a.str()}, {"optimizer.params.lr=1e-4", "num-layers=6", "seed=1", "seed=2",
                            "split=8, 1, 1", "train_data_paths=[a.h5, b.h5]",
                            "data_path=", "pipe_partition_method=type:mlp|attn",
                            "optimizer={params: {eps: 1e-6}}"});
  BOOST_CHECK_EQUAL(d.schedule.lr, 1e-4);
  BOOST_CHECK_EQUAL(d.optimizer.epsilon, 1e-6);
  BOOST_CHECK_EQUAL(d.model.num_layers, 6);
  BOOST_CHECK_EQUAL(d.seed, 2U);
  BOOST_CHECK_EQUAL(d.split, "8, 1, 1");
  BOOST_CHECK_EQUAL(d.pipe_partition_method, "type:mlp|attn");
  BOOST_CHECK(d.data_path.empty());
  BOOST_REQUIRE_EQUAL(d.train_data_paths.size(), 2U);
  BOOST_CHECK_EQUAL(d.train_data_paths[1], "b.h5");
  const auto error = [&](const std::string& set) {
    return message_of([&] { static_cast<void>(read_deck({a.str()}, {set})); });
  };
  CHECK_CONTAINS(error("num_layers=many"),
                 "--set num_layers=many: num_layers expects an integer, got 'many'");
  CHECK_CONTAINS(error("optimizer.params.lrr=1"), "did you mean 'optimizer.params.lr'?");
  CHECK_CONTAINS(error("num_layers"), "expects key=value");
  CHECK_CONTAINS(error("split=[1"), "--set split=[1: YAML error: ");
}

BOOST_AUTO_TEST_CASE(every_key_of_neox_and_deepspeed_is_known) {
  const std::vector<std::string> keys = known_keys();
  BOOST_REQUIRE_GT(keys.size(), 350U);
  for (const std::string& key : keys) {
    const std::string text = least_without(key) + as_yaml(key, "null");
    try {
      static_cast<void>(parse_deck(text, "x.yml"));
    } catch (const Error& e) {  // null removes a required key
      BOOST_CHECK_MESSAGE(contains(e.what(), "missing key"), key << ": " << e.what());
    }
  }
}

BOOST_AUTO_TEST_CASE(no_key_is_dropped_in_silence) {
  // Settings of features that are off unless `enabled` or `device` says otherwise.
  const std::set<std::string> switched = {
      "fp16", "bf16", "amp", "autotuning", "curriculum_learning", "data_efficiency"};
  for (const std::string& key : known_keys()) {
    const std::string last = key.substr(key.rfind('.') + 1);
    if (last != "enabled" && switched.contains(key.substr(0, key.find('.')))) continue;
    if (last != "device" && contains(key, ".offload_param")) continue;
    std::string told;
    try {
      const std::string least = least_without(contains(key, "data_path") ? "data_path" : key);
      const Deck d = parse_deck(least + "vocab_size: 300\n" + as_yaml(key, "zzz"), "x.yml");
      told = to_yaml(d);
      for (const std::string& w : d.warnings) told += w;
      BOOST_CHECK_MESSAGE(contains(told, "zzz") || contains(told, key) ||
                              contains(told, ": " + key.substr(0, key.find('.'))),
                          key << " is dropped in silence");
    } catch (const Error& e) {
      BOOST_CHECK_MESSAGE(contains(e.what(), "zzz"), key << ": " << e.what());
    }
  }
}

BOOST_AUTO_TEST_CASE(words_fold_into_settings) {
  const auto model = [](const std::string& more) {
    return parse_deck(kLeast + more, "x").model;
  };
  BOOST_CHECK_EQUAL(model("expansion_factor: 3\n").intermediate_size, 192);
  BOOST_CHECK_EQUAL(model("mlp_multiple_of: 100\n").intermediate_size, 300);
  BOOST_CHECK_EQUAL(model("activation: swiglu\n").mlp_inner(), 85);  // F = 170
  BOOST_CHECK_EQUAL(model("").norm_epsilon, 1e-5);
  const ModelConfig rms = model("norm: rmsnorm\nlayernorm_epsilon: 1e-3\n");
  BOOST_CHECK_EQUAL(rms.norm_epsilon, 1e-8);
  BOOST_CHECK(!rms.use_bias_in_norms);
  BOOST_CHECK(model("activation: gelu\n").activation == Activation::gelu);
  BOOST_CHECK(model("activation: swish\n").activation == Activation::silu);
  const Deck d = parse_deck(kLeast + "lr_decay_fraction: 0.25\n", "x");
  BOOST_CHECK_EQUAL(d.schedule.lr_decay_iters, 25);
  const Deck gated_deck = parse_deck(kLeast + "activation: geglu\nbias_gelu_fusion: on\n", "x");
  BOOST_CHECK(gated_deck.model.activation == Activation::geglu);
  BOOST_REQUIRE_EQUAL(gated_deck.warnings.size(), 1U);
  CHECK_CONTAINS(gated_deck.warnings[0], "bias_gelu_fusion");
}

/// A deck that gives each key a value of its own.
const std::string kAll = kLeast + R"(
num_kv_heads: 2
max_position_embeddings: 64
vocab_size: 300
intermediate_size: 200
norm: rmsnorm
rms_norm_epsilon: 0.1e-6
pos_emb: none
rotary_pct: 0.3333333333333333
rotary_emb_base: 500000
activation: gelu
bias_gelu_fusion: true
gpt_j_residual: true
gpt_j_tied: true
no_weight_tying: true
use_bias_in_attn_linear: false
use_bias_in_mlp: false
hidden_dropout: 0.1
attention_dropout: 0.2
init_method: xavier_uniform
output_layer_init_method: scaled_orthogonal
init_method_std: 0.007
pipe_parallel_size: 2
model_parallel_size: 2
sequence_parallel: yes
pipe_partition_method: 'type:a"b\\d|mlp'
virtual_pipeline_chunks: 2
device: cpu
threads_per_rank: 3
comm_timeout: 12.5
train_batch_size: 64
gas: 4
optimizer: {type: SGD, params: {dampening: 0.25, momentum: 0.3}}
weight_decay: 0.123456789012345678
gradient_clipping: 0
zero_reduce_bucket_size: 1000
min_lr: 1e-300
warmup: 0.3
lr_decay_style: exponential
lr_decay_iters: 77
seed: 9007199254740993
eval_interval: 0
eval_iters: 3
log_interval: 7
run_dir: some/where else
save: "a: 'b' \x01 ü"
load: null # fresh
checkpoint_factor: 11
split: 1, 2, 3
)";

BOOST_AUTO_TEST_CASE(the_written_deck_reads_back_as_itself) {
  for (const std::string& text : {kAll, kLeast, kNeox}) {
    const Deck d = parse_deck(text, "x.yml");
    const std::string written = to_yaml(d);
    const Deck again = parse_deck(written, "written.yml");
    BOOST_CHECK(again == d);
    BOOST_CHECK_EQUAL(to_yaml(again), written);
  }
  const Deck d = parse_deck(kAll, "x.yml");
  BOOST_CHECK(!(d == parse_deck(kLeast, "x.yml")));
  BOOST_CHECK_EQUAL(d.seed, 9007199254740993U);
  BOOST_CHECK_EQUAL(d.save, "a: 'b' \x01 ü");
  BOOST_CHECK_EQUAL(d.run_folder(), "some/where else");
  BOOST_CHECK(parse_deck(kLeast + "pipeline_schedule: gpipe\n", "x").pipeline_schedule ==
              PipelineSchedule::gpipe);
  const Deck lists = parse_deck(
      least_without("data_path") +
          "train_data_paths: [a, b]\nvalid_data_paths: c\ntrain_data_weights: [0.1, 0.9]\n"
          "test_data_paths: [d]\ntest_data_weights: [1]\nvalid_data_weights: 2\n",
      "x");
  BOOST_CHECK(parse_deck(to_yaml(lists), "y") == lists);
  BOOST_CHECK_EQUAL(lists.train_data_weights.at(1), 0.9);
}

BOOST_AUTO_TEST_CASE(keys_are_described) {
  const std::string text = describe_keys();
  CHECK_CONTAINS(text, "num_layers: transformer layers\n      integer ≥ 1");
  CHECK_CONTAINS(text, "also as gas");
  CHECK_CONTAINS(text, "left out: \"969, 30, 1\"");
  CHECK_CONTAINS(text, "wandb_project");
  CHECK_CONTAINS(text, "mixture of experts isn't available");
}

BOOST_AUTO_TEST_CASE(nearest_names) {
  const std::vector<std::string> names = {"num_layers", "hidden_size", "seed", "lr"};
  BOOST_CHECK_EQUAL(nearest_name("num_layer", names), "num_layers");
  BOOST_CHECK_EQUAL(nearest_name("hiden_szie", names), "hidden_size");
  BOOST_CHECK_EQUAL(nearest_name("sede", names), "seed");
  BOOST_CHECK_EQUAL(nearest_name("flavour", names), "");
  BOOST_CHECK_EQUAL(nearest_name("", names), "");
}

BOOST_AUTO_TEST_SUITE_END()
