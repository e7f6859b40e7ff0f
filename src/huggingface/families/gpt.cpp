// SPDX-License-Identifier: Apache-2.0
// Families with layernorms and plain MLPs: GPT-NeoX, GPT-2, GPT-J and Phi.
#include <cmath>
#include <limits>

#include "trireme/core/error.hpp"

#include "rules.hpp"

namespace trireme::huggingface {

namespace {

/// GPT-2's words for sizes, which GPT-J has too.
std::vector<Rule> gpt2_sizes() {
  return {count("vocab_size", "vocab_size"),
          count("n_embd", "hidden_size"),
          count("n_layer", "num_layers"),
          count("n_head", "num_attention_heads"),
          plain_width("n_inner"),
          count("n_positions", "max_position_embeddings"),
          always("norm", "layernorm"),
          number("layer_norm_epsilon", "layernorm_epsilon", 1e-5),
          activation("activation_function", "gelu_new", false)};
}

/// rotary_dim: the rotated entries of each head.
Rule rotary_entries() {
  static constexpr std::int64_t kUsual = 64;
  return {[](Fields& config, Keys& keys) {
            const std::int64_t hidden = whole(keys, "hidden_size", 0);
            const std::int64_t heads = whole(keys, "num_attention_heads", 1);
            const std::int64_t entries = config.count("rotary_dim", kUsual);
            const std::int64_t width = hidden / heads;
            TRM_REQUIRE(entries <= width, "{}: rotary_dim {} is more than a head's {} entries",
                        config.where(), entries, width);
            keys["pos_emb"] = "rotary";
            // The key's product with the width, rounded down, must be the entries again.
            double share = static_cast<double>(entries) / static_cast<double>(width);
            if (static_cast<std::int64_t>(share * static_cast<double>(width)) < entries) {
              share = std::nextafter(share, std::numeric_limits<double>::infinity());
            }
            keys["rotary_pct"] = share;
          },
          [](const Keys& keys, OrderedJson& config) {
            const std::int64_t width =
                whole(keys, "hidden_size", 0) / whole(keys, "num_attention_heads", 1);
            config["rotary_dim"] = static_cast<std::int64_t>(real(keys, "rotary_pct", 1) *
                                                             static_cast<double>(width));
          }};
}

Rule all_biases() {
  return {[](Fields&, Keys& keys) {
            for (const char* key :
                 {"use_bias_in_norms", "use_bias_in_attn_linear", "use_bias_in_mlp"}) {
              keys[key] = true;
            }
          },
          [](const Keys&, OrderedJson&) {}};
}

const std::vector<std::string_view> kOfGpt2{"n_ctx",
                                            "embd_pdrop",
                                            "reorder_and_upcast_attn",
                                            "summary_activation",
                                            "summary_type",
                                            "summary_first_dropout",
                                            "summary_proj_to_labels",
                                            "summary_use_proj",
                                            "gradient_checkpointing",
                                            "scale_attn_weights",
                                            "rotary"};

}  // namespace

Family gpt_neox() {
  return {
      .model_type = "gpt_neox",
      .architecture = "GPTNeoXForCausalLM",
      .base = "gpt_neox.",
      .layers = "layers.",
      .ends = {{"embed_in", "gpt_neox.embed_in"},
               {"final_layer_norm", "gpt_neox.final_layer_norm"},
               {"embed_out", "embed_out"}},
      .layer = {{"input_layernorm", "input_layernorm"},
                {"attention.query_key_value", "attention.query_key_value"},
                {"attention.dense", "attention.dense"},
                {"post_attention_layernorm", "post_attention_layernorm"},
                {"mlp.dense_h_to_4h", "mlp.dense_h_to_4h"},
                {"mlp.dense_4h_to_h", "mlp.dense_4h_to_h"}},
      .buffers = {".attention.bias", ".attention.masked_bias",
                  ".attention.rotary_emb.inv_freq"},
      .rules = {count("vocab_size", "vocab_size"), count("hidden_size", "hidden_size"),
                count("num_hidden_layers", "num_layers"),
                count("num_attention_heads", "num_attention_heads"),
                plain_width("intermediate_size"),
                count("max_position_embeddings", "max_position_embeddings"),
                always("norm", "layernorm"),
                number("layer_norm_eps", "layernorm_epsilon", 1e-5),
                activation("hidden_act", "gelu", false),
                rope({.base = "rotary_emb_base", .share = "rotary_pct", .usual_share = 0.25}),
                truth("use_parallel_residual", "gpt_j_residual", true), all_biases(),
                truth("attention_bias", "use_bias_in_attn_linear", true),
                dropouts("attention_dropout", "hidden_dropout", 0), tied(false)},
      .without_effect = {"attention_probs_dropout_prob", "hidden_dropout_prob"}};
}

Family gpt2() {
  Family f{.model_type = "gpt2",
           .architecture = "GPT2LMHeadModel",
           .base = "transformer.",
           .layers = "h.",
           .ends = {{"embed_in", "transformer.wte"},
                    {"embed_positions", "transformer.wpe"},
                    {"final_layer_norm", "transformer.ln_f"},
                    {"embed_out", "lm_head"}},
           .layer = {{"input_layernorm", "ln_1"},
                     {"attention.query_key_value", "attn.c_attn", Layout::concatenated},
                     {"attention.dense", "attn.c_proj", Layout::transposed},
                     {"post_attention_layernorm", "ln_2"},
                     {"mlp.dense_h_to_4h", "mlp.c_fc", Layout::transposed},
                     {"mlp.dense_4h_to_h", "mlp.c_proj", Layout::transposed}},
           .buffers = {".attn.bias", ".attn.masked_bias"},
           .rules = gpt2_sizes(),
           .without_effect = kOfGpt2};
  add(f.rules,
      {always("pos_emb", "learned"), all_biases(), dropouts("attn_pdrop", "resid_pdrop", 0.1),
       tied(true), only("scale_attn_weights", true, "scores are always scaled"),
       only("scale_attn_by_inverse_layer_idx", false, "scores are scaled alike in all layers"),
       only("add_cross_attention", false, "there is no second sequence")});
  return f;
}

Family gptj() {
  Family f{.model_type = "gptj",
           .architecture = "GPTJForCausalLM",
           .base = "transformer.",
           .layers = "h.",
           .ends = {{"embed_in", "transformer.wte"},
                    {"final_layer_norm", "transformer.ln_f"},
                    {"embed_out", "lm_head"}},
           .layer = {{"input_layernorm", "ln_1"},
                     {"attention.query_key_value", "attn.{}_proj", Layout::interleaved},
                     {"attention.dense", "attn.out_proj"},
                     {"mlp.dense_h_to_4h", "mlp.fc_in"},
                     {"mlp.dense_4h_to_h", "mlp.fc_out"}},
           .buffers = {".attn.bias", ".attn.masked_bias", ".attn.embed_positions"},
           .rules = gpt2_sizes(),
           .without_effect = kOfGpt2};
  add(f.rules,
      {rotary_entries(), all_biases(), always("use_bias_in_attn_linear", false),
       always("use_bias_in_output", true), always("gpt_j_residual", true),
       always("gpt_j_tied", true), dropouts("attn_pdrop", "resid_pdrop", 0), tied(false),
       only("tie_word_embeddings", false, "the output has a bias of its own")});
  return f;
}

Family phi() {
  Family f{.model_type = "phi",
           .architecture = "PhiForCausalLM",
           .base = "model.",
           .layers = "layers.",
           .ends = {{"embed_in", "model.embed_tokens"},
                    {"final_layer_norm", "model.final_layernorm"},
                    {"embed_out", "lm_head"}},
           .layer = {{"input_layernorm", "input_layernorm"},
                     {"attention.query_key_value", "self_attn.{}_proj", Layout::heads},
                     {"attention.dense", "self_attn.dense"},
                     {"mlp.dense_h_to_4h", "mlp.fc1"},
                     {"mlp.dense_4h_to_h", "mlp.fc2"}},
           .buffers = {".rotary_emb.inv_freq"},
           .rules = {count("vocab_size", "vocab_size"), count("hidden_size", "hidden_size"),
                     count("num_hidden_layers", "num_layers"), grouped_heads(),
                     plain_width("intermediate_size"),
                     count("max_position_embeddings", "max_position_embeddings"),
                     always("norm", "layernorm"),
                     number("layer_norm_eps", "layernorm_epsilon", 1e-5),
                     activation("hidden_act", "gelu_new", false),
                     rope({.share = "partial_rotary_factor", .usual_share = 0.5}), all_biases(),
                     always("use_bias_in_output", true), always("gpt_j_residual", true),
                     always("gpt_j_tied", true),
                     dropouts("attention_dropout", "resid_pdrop", 0), tied(false),
                     only("tie_word_embeddings", false, "the output has a bias of its own"),
                     only("qk_layernorm", false, "norms of q and k with biases are not built")},
           .without_effect = {"embd_pdrop"}};
  return f;
}

}  // namespace trireme::huggingface
