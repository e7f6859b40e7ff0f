// SPDX-License-Identifier: Apache-2.0
// Llama and the families that differ from it by a part or two: Mistral, Qwen 2 and 3, OLMo 2.
#include "rules.hpp"

namespace trireme::huggingface {

namespace {

/// Sizes and choices that all families of this file share. Biases, windows and norms of q and k
/// follow in each.
std::vector<Rule> core_rules(double epsilon, bool ties) {
  return {count("vocab_size", "vocab_size"),
          count("hidden_size", "hidden_size"),
          count("num_hidden_layers", "num_layers"),
          grouped_heads(),
          gated_width(),
          count("max_position_embeddings", "max_position_embeddings"),
          always("norm", "rmsnorm"),
          number("rms_norm_eps", "rms_norm_epsilon", epsilon),
          activation("hidden_act", "silu", true),
          rope({}),
          dropouts("attention_dropout", "", 0),
          tied(ties),
          always("gpt_j_residual", false)};
}

Family like_llama(std::string_view type, std::string_view architecture) {
  return {.model_type = type,
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
}

}  // namespace

Family llama() {
  Family f = like_llama("llama", "LlamaForCausalLM");
  f.rules = core_rules(1e-6, false);
  add(f.rules, {head_width(), truth("attention_bias", "use_bias_in_attn_linear", false),
                truth("mlp_bias", "use_bias_in_mlp", false),
                refusing("rope_interleaved", false, "rotary pairs are half a head apart")});
  f.without_effect = {"pretraining_tp"};
  return f;
}

Family mistral() {
  Family f = like_llama("mistral", "MistralForCausalLM");
  f.rules = core_rules(1e-6, false);
  add(f.rules, {head_width(), window(), always("use_bias_in_attn_linear", false),
                always("use_bias_in_mlp", false)});
  return f;
}

Family qwen2() {
  Family f = like_llama("qwen2", "Qwen2ForCausalLM");
  f.rules = core_rules(1e-6, false);
  add(f.rules, {switched_window(), always("use_bias_in_qkv", true),
                refusing("use_mrope", false, "positions are single numbers"),
                always("use_bias_in_attn_linear", false), always("use_bias_in_mlp", false)});
  return f;
}

Family qwen3() {
  constexpr std::int64_t kUsualWidth = 128;
  Family f = like_llama("qwen3", "Qwen3ForCausalLM");
  f.rules = core_rules(1e-6, false);
  add(f.rules, {head_width(kUsualWidth), switched_window(),
                truth("attention_bias", "use_bias_in_attn_linear", false),
                always("use_bias_in_mlp", false), always("use_qk_layernorm", "head")});
  return f;
}

Family olmo2() {
  Family f = like_llama("olmo2", "Olmo2ForCausalLM");
  for (TensorRule& rule : f.layer) {
    if (rule.here == "input_layernorm") {
      rule = {"post_attention_output_norm", "post_attention_layernorm"};
    } else if (rule.here == "post_attention_layernorm") {
      rule = {"post_mlp_output_norm", "post_feedforward_layernorm"};
    }
  }
  f.rules = core_rules(1e-5, false);
  add(f.rules, {truth("attention_bias", "use_bias_in_attn_linear", false),
                always("use_bias_in_mlp", false), always("use_qk_layernorm", "row"),
                always("norm_placement", "after")});
  return f;
}

}  // namespace trireme::huggingface
