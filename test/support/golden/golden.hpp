// SPDX-License-Identifier: Apache-2.0
// One case of golden.h5, parts.h5 or lora.h5, and a model with its weights. make_golden.py and
// make_parts.py make these files from Hugging Face transformers, and make_lora.py from PEFT.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "trireme/h5/file.hpp"
#include "trireme/model/transformer.hpp"

#include "../../model/parameter_store.hpp"
#include "machine.hpp"

namespace trireme::test {

inline constexpr const char* kGoldenCases[] = {"neox_parallel_r025", "neox_sequential_r100",
                                               "neox_tied_tanh", "llama_gqa"};

/// Cases of parts.h5, which make_parts.py makes: a small model of each family.
inline constexpr const char* kPartCases[] = {
    "mistral",      "qwen2", "qwen3", "llama_llama3", "llama_yarn", "llama_dynamic",
    "llama_linear", "olmo2", "phi",   "gemma2",       "gemma3",     "mpt"};
inline std::vector<std::string> all_golden_cases() {
  std::vector<std::string> all(std::begin(kGoldenCases), std::end(kGoldenCases));
  all.insert(all.end(), std::begin(kPartCases), std::end(kPartCases));
  return all;
}

/// The value of a word in a list of words.
template <class E>
E named(const std::string& word, std::initializer_list<std::pair<const char*, E>> names) {
  for (const auto& [name, value] : names) {
    if (word == name) return value;
  }
  throw Error("unknown word " + word);
}

/// The model of a case of golden.h5.
inline ModelConfig golden_config(const h5::Group& group) {
  ModelConfig c;
  c.intermediate_size = group.integer("intermediate_size");
  c.norm_epsilon =
      group.number(group.text("norm") == "rmsnorm" ? "rms_norm_epsilon" : "layernorm_epsilon");
  c.pos_emb = PositionEmbedding::rotary;
  c.activation = group.text("activation") == "swiglu"     ? Activation::swiglu
                 : group.integer("bias_gelu_fusion") != 0 ? Activation::gelu_tanh
                                                          : Activation::gelu;
  c.gpt_j_residual = group.integer("gpt_j_residual") != 0;
  c.use_bias_in_norms = group.integer("use_bias") != 0;
  c.use_bias_in_attn_linear = c.use_bias_in_norms;
  c.use_bias_in_qkv = c.use_bias_in_norms;
  c.use_bias_in_mlp = c.use_bias_in_norms;
  return c;
}

/// The model of a case of parts.h5.
inline ModelConfig part_config(const h5::Group& group) {
  ModelConfig c;
  c.kv_channels = group.integer("kv_channels");
  c.norm_epsilon = group.number("norm_epsilon");
  c.norm_placement =
      named<NormPlacement>(group.text("norm_placement"), {{"before", NormPlacement::before},
                                                          {"after", NormPlacement::after},
                                                          {"both", NormPlacement::both}});
  c.layernorm_1p = group.integer("layernorm_1p") != 0;
  c.qk_norm =
      named<QkNorm>(group.text("qk_norm"),
                    {{"none", QkNorm::none}, {"head", QkNorm::head}, {"row", QkNorm::row}});
  c.pos_emb = named<PositionEmbedding>(
      group.text("pos_emb"),
      {{"rotary", PositionEmbedding::rotary}, {"alibi", PositionEmbedding::alibi}});
  c.rotary_emb_local_base = group.number("rotary_emb_local_base");
  using Type = RopeScaling::Type;
  c.rope_scaling.type = named<Type>(group.text("rope_type"), {{"none", Type::none},
                                                              {"linear", Type::linear},
                                                              {"dynamic", Type::dynamic},
                                                              {"llama3", Type::llama3},
                                                              {"yarn", Type::yarn}});
  c.rope_scaling.factor = group.number("rope_factor");
  c.rope_scaling.original_max_position_embeddings = group.integer("rope_original");
  c.rope_scaling.low_freq_factor = group.number("rope_low");
  c.rope_scaling.high_freq_factor = group.number("rope_high");
  c.sliding_window_width = group.integer("sliding_window_width");
  c.sliding_window_pattern = group.integer("sliding_window_pattern");
  c.attention_scale = group.number("attention_scale");
  c.attention_logit_softcap = group.number("attention_logit_softcap");
  c.output_logit_softcap = group.number("output_logit_softcap");
  c.embedding_scale = group.number("embedding_scale");
  c.activation =
      named<Activation>(group.text("activation"), {{"gelu", Activation::gelu},
                                                   {"gelu_tanh", Activation::gelu_tanh},
                                                   {"swiglu", Activation::swiglu},
                                                   {"geglu_tanh", Activation::geglu_tanh}});
  c.intermediate_size = group.integer("inner") * (gated(c.activation) ? 2 : 1);
  c.gpt_j_residual = group.integer("gpt_j_residual") != 0;
  c.gpt_j_tied = group.integer("gpt_j_residual") == 2;
  c.use_bias_in_norms = group.integer("use_bias_in_norms") != 0;
  c.use_bias_in_attn_linear = group.integer("use_bias_in_attn_linear") != 0;
  c.use_bias_in_qkv = group.integer("use_bias_in_qkv") != 0;
  c.use_bias_in_output = group.integer("use_bias_in_output") != 0;
  c.use_bias_in_mlp = group.integer("use_bias_in_mlp") != 0;
  return c;
}

/// A file of test/support/golden, in the program's source tree or the folder TRIREME_TEST_DIR.
inline std::string golden_file(const std::string& name) {
  const char* moved = std::getenv("TRIREME_TEST_DIR");
  return std::string(moved != nullptr ? moved : TRIREME_TEST_DIR) + "/support/golden/" + name;
}

class Golden {
 public:
  explicit Golden(const std::string& name)
      : Golden(name, is_part(name) ? "parts.h5" : "golden.h5") {}
  Golden(const std::string& name, const std::string& file)
      : file_(golden_file(file), h5::Mode::read), group_(file_.group(name)) {
    config = is_part(name) ? part_config(group_) : golden_config(group_);
    ModelConfig& c = config;
    c.num_layers = group_.integer("num_layers");
    c.hidden_size = group_.integer("hidden_size");
    c.num_attention_heads = group_.integer("num_attention_heads");
    c.num_kv_heads = group_.integer("num_kv_heads");
    c.seq_length = group_.integer("seq_length");
    c.max_position_embeddings = c.seq_length;
    c.vocab_size = group_.integer("vocab_size");
    c.norm = group_.text("norm") == "rmsnorm" ? Norm::rmsnorm : Norm::layernorm;
    c.rotary_pct = group_.number("rotary_pct");
    c.rotary_emb_base = group_.number("rotary_emb_base");
    c.no_weight_tying = group_.integer("no_weight_tying") != 0;
    batch = group_.integer("batch");
  }

  ModelConfig config;
  std::int64_t batch = 0;

  [[nodiscard]] std::vector<float> floats(const std::string& name) const {
    return read<float>(name);
  }
  [[nodiscard]] std::vector<double> doubles(const std::string& name) const {
    return read<double>(name);
  }
  [[nodiscard]] const h5::Group& attributes() const { return group_; }
  [[nodiscard]] h5::Dataset dataset(const std::string& name) const {
    return group_.dataset(name);
  }

  /// The elements of param/NAME or grad/NAME in the box that this rank's parameter holds.
  [[nodiscard]] std::vector<float> part(const std::string& kind, const Parameter& p) const {
    std::vector<float> v(static_cast<std::size_t>(p.box.count()));
    group_.dataset(kind + "/" + p.name).read(p.box, View(v.data(), DType::f32, p.box.extent));
    return v;
  }

  /// A micro-batch of samples [first, first + n) of step `step`.
  [[nodiscard]] MicroBatch micro_batch(const Exec& ex, std::int64_t step, std::int64_t first,
                                       std::int64_t n) const {
    const std::int64_t s = config.seq_length;
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(n * (s + 1)));
    group_.dataset("steps_tokens")
        .read(Box(Shape{step, first, 0}, Shape{1, n, s + 1}),
              View(tokens.data(), DType::i32, Shape{1, n, s + 1}));
    MicroBatch mb;
    mb.batch = n;
    mb.seq = s;
    mb.first_sample = static_cast<std::uint64_t>(first);
    mb.loss_weight = 1.0 / static_cast<double>(batch * s);
    mb.tokens = ex.make(DType::i32, Shape{n * s});
    mb.targets = ex.make(DType::i32, Shape{n * s});
    mb.loss_sum = ex.zeros(DType::f64, Shape{3});
    std::vector<std::int32_t> inputs;
    std::vector<std::int32_t> targets;
    for (auto row = tokens.begin(); row != tokens.end(); row += s + 1) {
      inputs.insert(inputs.end(), row, row + s);
      targets.insert(targets.end(), row + 1, row + s + 1);
    }
    assign(ex, inputs, mb.tokens);
    assign(ex, targets, mb.targets);
    return mb;
  }

  /// Sets all parameters' values from param/.
  void load(const Exec& ex, const ParameterStore& store) const {
    for (const Parameter* p : store.parameters()) assign(ex, part("param", *p), p->value);
  }

 private:
  static bool is_part(const std::string& name) {
    return std::ranges::find(kPartCases, name) != std::end(kPartCases);
  }

  template <class T>
  [[nodiscard]] std::vector<T> read(const std::string& name) const {
    const auto d = group_.dataset(name);
    std::vector<T> v(static_cast<std::size_t>(d.shape().count()));
    d.read(View(v.data(), kDTypeOf<T>, d.shape()));
    return v;
  }

  h5::File file_;
  h5::Group group_;
};

/// ‖a − b‖ / ‖b‖ over the elements of all ranks, from sums of squares.
struct Distance {
  double difference = 0;
  double reference = 0;
  void add(double a, double b) {
    difference += (a - b) * (a - b);
    reference += b * b;
  }
  [[nodiscard]] double relative() const {
    return std::sqrt(difference) / std::max(std::sqrt(reference), 1e-8);
  }
};

/// The sum of token losses times their weights.
inline double loss_of(const Exec& ex, const MicroBatch& mb) {
  return numbers(ex, mb.loss_sum).front() * mb.loss_weight;
}

}  // namespace trireme::test
