// SPDX-License-Identifier: Apache-2.0
// Gemma 1, 2 and 3: scaled embeddings, and norms that multiply by 1 + weight. From Gemma 2 on,
// norms stand on both sides of a branch, and most layers have windows.
#include <cmath>
#include <utility>

#include "trireme/core/error.hpp"

#include "rope_scaling.hpp"
#include "rules.hpp"

namespace trireme::huggingface {

namespace {

constexpr std::int64_t kUsualHeadWidth = 256;

/// Embeddings are multiplied by √hidden_size.
Rule embedding_scale() {
  return {[](Fields&, Keys& keys) {
            keys["embedding_scale"] =
                std::sqrt(static_cast<double>(whole(keys, "hidden_size", 0)));
          },
          [](const Keys&, OrderedJson&) {}};
}

/// Scores are multiplied by 1 / √query_pre_attn_scalar.
Rule score_scale() {
  return {[](Fields& config, Keys& keys) {
            const double scalar =
                config.number("query_pre_attn_scalar", static_cast<double>(kUsualHeadWidth));
            TRM_REQUIRE(scalar > 0, "{}: query_pre_attn_scalar must be above 0",
                        config.where());
            keys["attention_scale"] = 1 / std::sqrt(scalar);
          },
          [](const Keys& keys, OrderedJson& config) {
            const double scale = real(keys, "attention_scale", 0);
            if (scale <= 0) return;
            const double scalar = 1 / (scale * scale);
            const double near = std::round(scalar);
            config["query_pre_attn_scalar"] = std::abs(scalar - near) < 1e-9 * near
                                                  ? OrderedJson(static_cast<std::int64_t>(near))
                                                  : OrderedJson(scalar);
          }};
}

/// A cap that null switches off.
Rule softcap(const std::string& field, const std::string& key, double usual) {
  return {[=](Fields& config, Keys& keys) {
            const double missing = config.written(field) ? 0 : usual;
            const double cap = config.number(field, missing);
            if (cap > 0) keys[key] = cap;
          },
          [=](const Keys& keys, OrderedJson& config) {
            const double cap = real(keys, key, 0);
            config[field] = cap > 0 ? OrderedJson(cap) : OrderedJson(nullptr);
          }};
}

/// Layers with a window have a base of their own and no scaling.
Rule two_bases() {
  constexpr double kGlobal = 1e6;
  constexpr double kLocal = 1e4;
  const auto read = [](Fields& config, Keys& keys) {
    const std::int64_t positions = whole(keys, "max_position_embeddings", 0);
    keys["pos_emb"] = "rotary";
    Fields both = config.object("rope_parameters");
    Fields full = both.object("full_attention");
    Fields sliding = both.object("sliding_attention");
    Fields four = config.object("rope_scaling");
    keys["rotary_emb_base"] = full.number("rope_theta", config.number("rope_theta", kGlobal));
    keys["rotary_emb_local_base"] =
        sliding.number("rope_theta", config.number("rope_local_base_freq", kLocal));
    read_either_scaling(full, four, positions, keys);
    sliding.require("rope_type", "default", "layers with a window have no scaling");
    for (const Fields* fields : {&both, &full, &sliding, &four}) fields->require_all_read();
  };
  const auto write = [](const Keys& keys, OrderedJson& config) {
    config["rope_theta"] = real(keys, "rotary_emb_base", kGlobal);
    config["rope_local_base_freq"] = real(keys, "rotary_emb_local_base", kLocal);
    const OrderedJson scaling = written_scaling(keys);
    if (!scaling.is_null()) config["rope_scaling"] = scaling;
  };
  return {read, write};
}

constexpr const char* kOldActivation = "hidden_act";
constexpr const char* kActivation = "hidden_activation";

Rule new_activation() { return activation(kActivation, "gelu_pytorch_tanh", true); }

/// Gemma 1 has a word for its activation in one of two fields, or the same in both.
Rule either_activation() {
  const Rule before = activation(kOldActivation, "gelu_pytorch_tanh", true);
  const Rule since = new_activation();
  const auto read = [=](Fields& config, Keys& keys) {
    const bool has_new = config.has(kActivation);
    if (has_new && config.has(kOldActivation)) {
      Keys old_keys;
      Keys new_keys;
      before.read(config, old_keys);
      since.read(config, new_keys);
      TRM_REQUIRE(old_keys == new_keys, "{}: {} is {}, but {} is {}; they must be the same",
                  config.where(), kOldActivation, brief(config.value(kOldActivation)),
                  kActivation, brief(config.value(kActivation)));
    }
    (has_new ? since : before).read(config, keys);
  };
  const auto write = [=](const Keys& keys, OrderedJson& config) {
    before.write(keys, config);
    since.write(keys, config);
  };
  return {read, write};
}

Family like_gemma(std::string_view type, std::string_view architecture, Rule activation_rule,
                  double epsilon) {
  Family f{.model_type = type,
           .architecture = architecture,
           .base = "model.",
           .layers = "layers.",
           .ends = {{"embed_in", "model.embed_tokens"},
                    {"final_layer_norm", "model.norm"},
                    {"embed_out", "lm_head"}},
           .layer = {{"input_layernorm", "input_layernorm"},
                     {"attention.query_key_value", "self_attn.{}_proj", Layout::heads},
                     {"attention.dense", "self_attn.o_proj"},
                     {"attention.q_norm", "self_attn.q_norm"},
                     {"attention.k_norm", "self_attn.k_norm"},
                     {"post_attention_layernorm", "post_attention_layernorm"},
                     {"mlp.gate_proj", "mlp.gate_proj"},
                     {"mlp.up_proj", "mlp.up_proj"},
                     {"mlp.down_proj", "mlp.down_proj"}},
           .buffers = {".rotary_emb.inv_freq"},
           .rules = {},
           .without_effect = {}};
  f.rules = {count("vocab_size", "vocab_size"),
             count("hidden_size", "hidden_size"),
             count("num_hidden_layers", "num_layers"),
             grouped_heads(),
             head_width(kUsualHeadWidth),
             gated_width(),
             count("max_position_embeddings", "max_position_embeddings"),
             always("norm", "rmsnorm"),
             always("layernorm_1p", true),
             number("rms_norm_eps", "rms_norm_epsilon", epsilon),
             std::move(activation_rule),
             dropouts("attention_dropout", "", 0),
             tied(true),
             embedding_scale(),
             truth("attention_bias", "use_bias_in_attn_linear", false),
             always("use_bias_in_mlp", false),
             refusing("use_bidirectional_attention", false, "attention is causal here")};
  return f;
}

/// Norms on both sides of each branch.
void surround(Family& family) {
  for (TensorRule& rule : family.layer) {
    if (rule.here == "post_attention_layernorm") rule.there = "pre_feedforward_layernorm";
  }
  family.layer.push_back({"post_attention_output_norm", "post_attention_layernorm"});
  family.layer.push_back({"post_mlp_output_norm", "post_feedforward_layernorm"});
}

}  // namespace

Family gemma() {
  Family f = like_gemma("gemma", "GemmaForCausalLM", either_activation(), 1e-6);
  add(f.rules, {rope({})});
  return f;
}

Family gemma2() {
  Family f = like_gemma("gemma2", "Gemma2ForCausalLM", new_activation(), 1e-6);
  surround(f);
  add(f.rules, {rope({}), always("norm_placement", "both"), score_scale(),
                softcap("attn_logit_softcapping", "attention_logit_softcap", 50),
                softcap("final_logit_softcapping", "output_logit_softcap", 30),
                alternating_window(2, 4096)});
  f.without_effect.insert(f.without_effect.end(), {"hidden_act", "cache_implementation"});
  return f;
}

Family gemma3() {
  Family f = like_gemma("gemma3_text", "Gemma3ForCausalLM", new_activation(), 1e-6);
  surround(f);
  add(f.rules,
      {two_bases(), always("norm_placement", "both"), always("use_qk_layernorm", "head"),
       score_scale(), softcap("attn_logit_softcapping", "attention_logit_softcap", 0),
       softcap("final_logit_softcapping", "output_logit_softcap", 0),
       alternating_window(6, 4096)});
  f.without_effect.insert(f.without_effect.end(), {"cache_implementation"});
  return f;
}

}  // namespace trireme::huggingface
