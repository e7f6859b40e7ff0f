// SPDX-License-Identifier: Apache-2.0
// Checks that the parts of a model fit each other.
#include "trireme/model/mup.hpp"

#include "fold.hpp"

namespace trireme {
namespace {

void check_heads(const ModelConfig& m) {
  TRM_REQUIRE(m.num_attention_heads > 0 &&
                  (m.kv_channels > 0 || m.hidden_size % m.num_attention_heads == 0),
              "hidden_size {} is not divisible by num_attention_heads {}", m.hidden_size,
              m.num_attention_heads);
  TRM_REQUIRE(m.num_kv_heads > 0 && m.num_attention_heads % m.num_kv_heads == 0,
              "num_attention_heads {} is not divisible by num_kv_heads {}",
              m.num_attention_heads, m.num_kv_heads);
}

void check_rope_scaling(const ModelConfig& m) {
  using Type = RopeScaling::Type;
  const RopeScaling& r = m.rope_scaling;
  if (r.type == Type::none) {
    TRM_REQUIRE(r == RopeScaling{},
                "rope_scaling needs a type: linear, dynamic, llama3 or yarn");
    return;
  }
  TRM_REQUIRE(r.type == Type::linear || r.original_max_position_embeddings > 0,
              "rope_scaling.type needs rope_scaling.original_max_position_embeddings: the "
              "length of the sequences that the model was first trained with");
  TRM_REQUIRE(r.type != Type::llama3 || r.high_freq_factor > r.low_freq_factor,
              "rope_scaling.high_freq_factor {} is not above rope_scaling.low_freq_factor {}",
              r.high_freq_factor, r.low_freq_factor);
  TRM_REQUIRE(r.type != Type::yarn || r.beta_fast > r.beta_slow,
              "rope_scaling.beta_fast {} is not above rope_scaling.beta_slow {}", r.beta_fast,
              r.beta_slow);
}

void check_positions(const ModelConfig& m) {
  TRM_REQUIRE(m.max_position_embeddings >= m.seq_length,
              "max_position_embeddings {} is less than seq_length {}",
              m.max_position_embeddings, m.seq_length);
  TRM_REQUIRE(m.position_offset == 0 || m.pos_emb == PositionEmbedding::learned,
              "position_offset {} needs pos_emb: learned", m.position_offset);
  TRM_REQUIRE(m.max_position_embeddings - m.position_offset >= m.seq_length,
              "max_position_embeddings {} without the first {} rows, of position_offset, is "
              "less than seq_length {}",
              m.max_position_embeddings, m.position_offset, m.seq_length);
  TRM_REQUIRE(m.sliding_window_pattern != 1,
              "sliding_window_pattern: 1 leaves no layer with a window: leave out "
              "sliding_window_width, or use 0 to give every layer a window");
  TRM_REQUIRE(m.sliding_window_first_layer == 0 ||
                  (m.sliding_window_width > 0 && m.sliding_window_first_layer < m.num_layers),
              "sliding_window_first_layer {} of {} layers leaves no layer with a window: set "
              "sliding_window_width, and a lower number of the first layer",
              m.sliding_window_first_layer, m.num_layers);
  if (m.pos_emb != PositionEmbedding::rotary) {
    TRM_REQUIRE(m.rope_scaling.type == RopeScaling::Type::none && m.rotary_emb_local_base == 0,
                "rope_scaling and rotary_emb_local_base need pos_emb: rotary");
    return;
  }
  const std::int64_t dims = m.rotary_dims();
  TRM_REQUIRE(dims >= 2 && dims % 2 == 0,
              "rotary_pct {} of {} entries in a head rotates {}; it must be an even number of "
              "them, at least 2",
              m.rotary_pct, m.head_dim(), dims);
  TRM_REQUIRE(m.rotary_emb_local_base == 0 || m.sliding_window_width > 0,
              "rotary_emb_local_base is of layers with a window: it needs "
              "sliding_window_width");
  check_rope_scaling(m);
}

void check_norms(const ModelConfig& m) {
  TRM_REQUIRE(!m.gpt_j_tied || m.gpt_j_residual,
              "gpt_j_tied: true needs gpt_j_residual: true (one norm for two branches)");
  TRM_REQUIRE(m.norm_placement == NormPlacement::before || !m.gpt_j_residual,
              "norm_placement after, both and after_sum need gpt_j_residual: false: the norm "
              "of one branch's result");
  TRM_REQUIRE(m.qk_norm != QkNorm::row || m.norm == Norm::rmsnorm,
              "use_qk_layernorm: row needs norm: rmsnorm; use_qk_layernorm: head takes both");
}

void check_encoder(const ModelConfig& m) {
  if (m.bidirectional_attention) {
    TRM_REQUIRE(m.sliding_window_width == 0,
                "bidirectional_attention and sliding_window_width {} don't go together: a "
                "window has no later tokens",
                m.sliding_window_width);
    TRM_REQUIRE(m.pos_emb != PositionEmbedding::alibi,
                "bidirectional_attention and pos_emb: alibi don't go together: its slopes are "
                "those of earlier tokens; use learned, rotary or none");
  }
  if (!m.output_transform) return;
  TRM_REQUIRE(m.norm_placement == NormPlacement::after_sum,
              "output_transform takes the place of the norm behind the layers: it needs "
              "norm_placement: after_sum");
  TRM_REQUIRE(!gated(m.activation),
              "output_transform has no gate: use activation gelu, relu or silu");
}

void check_mup(const ModelConfig& m) {
  if (!m.mup.enabled) return;
  TRM_REQUIRE(!m.is_perceptron(),
              "use_mup: true is for transformers: leave it out with mlp_sizes");
  TRM_REQUIRE(!m.output_transform && !m.pools_rows(),
              "use_mup: true has no rule for {}: leave one of them out",
              m.output_transform ? "output_transform" : "classifiers");
  TRM_REQUIRE(!m.lora.enabled(),
              "use_mup: true has no rule for adapters: leave out use_mup or lora");
  TRM_REQUIRE(m.mup.hidden_size > 0,
              "use_mup: true needs the widths of a base model: mup_base, or a base_shapes_file "
              "that a run with save_base_shapes: true has written");
  TRM_REQUIRE(m.attention_scale == 0,
              "use_mup: true divides attention scores by the width of a head: use "
              "mup_attn_temp instead of attention_scale");
  for (const InitMethod method : {m.init_method, m.output_layer_init_method}) {
    TRM_REQUIRE(
        method != InitMethod::orthogonal && method != InitMethod::scaled_orthogonal,
        "use_mup: true has no rule for orthogonal matrices, in GPT-NeoX either: choose another "
        "init_method and output_layer_init_method");
  }
  const ModelConfig base = mup_base_model(m);
  TRM_REQUIRE(base.num_kv_heads > 0 && base.num_attention_heads % base.num_kv_heads == 0,
              "mup_base: {} query heads are not divisible by {} key and value heads",
              base.num_attention_heads, base.num_kv_heads);
  TRM_REQUIRE(
      base.kv_channels > 0 || base.hidden_size % base.num_attention_heads == 0,
      "mup_base: hidden_size {} is not divisible by {} heads; set mup_base.kv_channels or "
      "mup_base.num_attention_heads",
      base.hidden_size, base.num_attention_heads);
  TRM_REQUIRE(base.mlp_inner() > 0, "mup_base: set mlp_width, the inner width of its mlp");
}

}  // namespace

void deck::check_model(const ModelConfig& model) {
  check_heads(model);
  check_norms(model);
  check_positions(model);
  check_encoder(model);
  check_mup(model);
}

}  // namespace trireme
