// SPDX-License-Identifier: Apache-2.0
// Tables of meshes, models and levers.
#include "meshes.hpp"

#include <algorithm>

namespace trireme::test {

namespace {

constexpr std::int64_t kHuge = 1'000'000'000'000;

const Json kBase = Json::parse(R"({
  "num_attention_heads": 4, "hidden_size": 16, "seq_length": 16, "train_batch_size": 16,
  "train_iters": 4, "lr": 1e-2, "warmup": 0.3, "weight_decay": 0.1, "seed": 99,
  "eval_interval": 2, "eval_iters": 1, "hidden_dropout": 0.1, "attention_dropout": 0.1})");

const std::array<Json, 9> kModels{
    Json::parse(R"({"pos_emb": "rotary", "gpt_j_residual": true, "no_weight_tying": true,
                    "gradient_clipping": 0.4})"),
    Json::parse(R"({"pos_emb": "learned", "no_weight_tying": false, "lr": 0.1,
                    "optimizer": {"type": "SGD", "params": {"momentum": 0.9}},
                    "gradient_clipping": 0.5})"),
    Json::parse(R"({"pos_emb": "rotary", "norm": "rmsnorm", "activation": "swiglu",
                    "num_kv_heads": 2, "intermediate_size": 60, "no_weight_tying": false,
                    "use_bias_in_attn_linear": false, "use_bias_in_mlp": false,
                    "gradient_clipping": 0.5})"),
    Json::parse(R"({"pos_emb": "none", "gpt_j_residual": true, "gpt_j_tied": true, "lr": 0.1,
                    "no_weight_tying": true,
                    "optimizer": {"type": "SGD", "params": {"momentum": 0.9}},
                    "gradient_clipping": 0.5})"),
    Json::parse(R"({"pos_emb": "rotary", "norm": "rmsnorm", "activation": "geglu_tanh",
                    "num_kv_heads": 2, "kv_channels": 6, "intermediate_size": 60,
                    "layernorm_1p": true, "norm_placement": "both", "use_qk_layernorm": true,
                    "sliding_window_width": 5, "sliding_window_pattern": 2,
                    "rotary_emb_local_base": 100, "attention_logit_softcap": 3,
                    "output_logit_softcap": 4, "embedding_scale": 4,
                    "no_weight_tying": false, "gradient_clipping": 0.5})"),
    Json::parse(R"({"pos_emb": "alibi", "norm": "rmsnorm", "norm_placement": "after",
                    "use_qk_layernorm": "row", "num_kv_heads": 2, "kv_channels": 8,
                    "use_bias_in_attn_linear": false, "use_bias_in_qkv": true,
                    "use_bias_in_output": true, "no_weight_tying": true,
                    "gradient_clipping": 0.5})"),
    Json::parse(R"({"bidirectional_attention": true, "norm_placement": "after_sum",
                    "pos_emb": "learned", "position_offset": 2, "type_vocab_size": 2,
                    "embedding_norm": true, "output_transform": true,
                    "use_bias_in_output": true, "no_weight_tying": false,
                    "task": "masked_language_model", "gradient_clipping": 0.5})"),
    Json::parse(R"({"pos_emb": "rotary", "bidirectional_attention": true,
                    "task": "sequence_classification", "num_labels": 5,
                    "classifier_pooler": true, "classifier_dropout": 0.1,
                    "classifier_pooling": "last", "gradient_clipping": 0.5})"),
    Json::parse(R"({"patch_size": 2, "image_size": [6, 10],
                    "pos_emb": "learned", "num_labels": 67, "classifier_pooling": "first",
                    "label_smoothing": 0.1, "gradient_clipping": 0.5})")};

const Json kParityBase = Json::parse(R"({
  "num_layers": 4, "num_attention_heads": 4, "seq_length": 32, "train_batch_size": 16,
  "train_iters": 20, "lr": 2e-3, "min_lr": 1e-4, "warmup": 0.2, "weight_decay": 0.1,
  "gradient_clipping": 1.0, "seed": 1234, "eval_interval": 10, "eval_iters": 2})");

const std::array<Json, kParityModels + kPartModels> kModelsOfParity{
    Json::parse(R"({"hidden_size": 32, "pos_emb": "rotary", "rotary_pct": 0.25,
      "gpt_j_residual": true, "no_weight_tying": true, "init_method": "small_init",
      "output_layer_init_method": "wang_init", "lr_decay_style": "cosine"})"),
    Json::parse(R"({"hidden_size": 32, "pos_emb": "learned", "gpt_j_residual": true,
      "gpt_j_tied": true, "no_weight_tying": false, "bias_gelu_fusion": true,
      "init_method": "normal", "output_layer_init_method": "scaled_normal",
      "lr_decay_style": "linear", "zero_optimization": {"reduce_bucket_size": 3000}})"),
    Json::parse(R"({"hidden_size": 64, "num_attention_heads": 8, "num_kv_heads": 4,
      "pos_emb": "rotary", "norm": "rmsnorm", "activation": "swiglu",
      "intermediate_size": 240, "gpt_j_residual": false, "no_weight_tying": true,
      "use_bias_in_attn_linear": false, "use_bias_in_mlp": false,
      "init_method": "xavier_uniform", "output_layer_init_method": "xavier_normal",
      "lr_decay_style": "exponential"})"),
    Json::parse(
        R"({"hidden_size": 32, "pos_emb": "none", "activation": "geglu",
      "intermediate_size": 192,
      "gpt_j_residual": false, "no_weight_tying": false, "use_bias_in_norms": false,
      "init_method": "orthogonal", "output_layer_init_method": "scaled_orthogonal",
      "optimizer": {"type": "SGD", "params": {"momentum": 0.9}}, "lr": 0.05,
      "lr_decay_style": "constant", "gradient_clipping": 0})"),
    Json::parse(R"({"hidden_size": 32, "kv_channels": 12, "pos_emb": "rotary",
      "norm": "rmsnorm", "layernorm_1p": true, "norm_placement": "both",
      "use_qk_layernorm": true, "activation": "geglu_tanh", "intermediate_size": 192,
      "sliding_window_width": 9, "sliding_window_pattern": 2, "rotary_emb_local_base": 100,
      "rope_scaling": {"type": "linear", "factor": 2}, "attention_scale": 0.3,
      "attention_logit_softcap": 5, "output_logit_softcap": 6, "embedding_scale": 5,
      "no_weight_tying": false, "use_bias_in_attn_linear": false,
      "use_bias_in_mlp": false})"),
    Json::parse(R"({"hidden_size": 32, "num_attention_heads": 8, "num_kv_heads": 4,
      "kv_channels": 10, "pos_emb": "rotary", "norm": "rmsnorm", "norm_placement": "after",
      "use_qk_layernorm": "row", "activation": "swiglu", "intermediate_size": 192,
      "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 16},
      "use_bias_in_attn_linear": false, "use_bias_in_qkv": true,
      "use_bias_in_output": true, "no_weight_tying": true})"),
    Json::parse(R"({"hidden_size": 32, "pos_emb": "alibi", "gpt_j_residual": true,
      "use_qk_layernorm": "head", "sliding_window_width": 20, "use_bias_in_qkv": false,
      "no_weight_tying": true})"),
    Json::parse(R"({"hidden_size": 32, "bidirectional_attention": true,
      "task": "language_model",
      "norm_placement": "after_sum", "pos_emb": "learned", "position_offset": 2,
      "type_vocab_size": 2, "embedding_norm": true, "output_transform": true,
      "use_bias_in_output": true, "no_weight_tying": false})"),
    Json::parse(R"({"hidden_size": 32, "pos_emb": "learned", "no_weight_tying": false,
      "use_mup": true, "mup_base": {"hidden_size": 16, "mlp_width": 24},
      "mup_attn_temp": 0.5, "mup_output_temp": 0.7, "mup_embedding_mult": 3,
      "mup_init_scale": 1.5, "lr": 4e-3})"),
    Json::parse(R"({"hidden_size": 32, "pos_emb": "rotary", "no_weight_tying": true,
      "use_mup": true, "mup_base": {"hidden_size": 8, "num_attention_heads": 2},
      "use_bias_in_output": true, "output_logit_softcap": 6,
      "optimizer": {"type": "SGD", "params": {"momentum": 0.9}}, "lr": 0.02})")};

const Json kDropout{{"hidden_dropout", 0.1}, {"attention_dropout", 0.1}};

}  // namespace

const std::array<Json, 4> kRecompute{
    Json::object(),
    Json{{"checkpoint_activations", true}, {"recompute_granularity", "selective"}},
    Json{{"checkpoint_activations", true}, {"checkpoint_num_layers", 1}},
    Json{{"checkpoint_activations", true}, {"checkpoint_num_layers", 2}}};

const std::array<Json, 4> kLimits{
    Json{{"stage3_prefetch_bucket_size", 0}},
    Json{{"stage3_prefetch_bucket_size", kHuge},
         {"stage3_max_live_parameters", kHuge},
         {"sub_group_size", 1000}},
    Json{{"stage3_max_live_parameters", 0}, {"sub_group_size", 7}},
    Json{{"stage3_prefetch_bucket_size", 3001}, {"stage3_max_live_parameters", 1}}};

const std::array<Json, 4> kLayouts{
    Json{{"stage3_param_persistence_threshold", 0}},
    Json{{"stage3_param_persistence_threshold", 100}, {"reduce_bucket_size", 997}},
    Json{{"stage3_param_persistence_threshold", 0}, {"allgather_bucket_size", 1501}},
    Json{{"stage3_param_persistence_threshold", 100}, {"reduce_bucket_size", 1}}};

LeverMesh mesh_of(const std::string& name, const MeshSize& size, const Json& deck) {
  return {name, size.dp * size.tp * size.pp,
          merged({{"model_parallel_size", size.tp}, {"pipe_parallel_size", size.pp}}, deck)};
}

const std::vector<LeverMesh>& lever_meshes() {
  static const auto list = [] {
    const Json sequence{{"sequence_parallel", true}};
    const Json interleaved{{"num_layers", 4}, {"virtual_pipeline_chunks", 2}};
    std::vector<LeverMesh> all{
        mesh_of("tp2", {.tp = 2}),
        mesh_of("dp2", {.dp = 2}),
        mesh_of("dp3", {.dp = 3}, {{"train_batch_size", 12}}),
        mesh_of("dp4", {.dp = 4}),
        mesh_of("dp2_tp2", {.dp = 2, .tp = 2}),
        mesh_of("dp2_tp2_sp", {.dp = 2, .tp = 2}, sequence),
        mesh_of("dp2_pp2", {.dp = 2, .pp = 2}, {{"num_layers", 2}}),
        mesh_of("dp2_pp2_gpipe", {.dp = 2, .pp = 2}, {{"pipeline_schedule", "gpipe"}}),
        mesh_of("dp2_pp2_interleaved", {.dp = 2, .pp = 2}, interleaved),
        mesh_of("dp2_tp2_pp2", {.dp = 2, .tp = 2, .pp = 2}),
        mesh_of("dp2_tp2_pp2_sp_interleaved", {.dp = 2, .tp = 2, .pp = 2},
                merged(interleaved, sequence))};
    for (std::size_t i = 0; i < all.size(); ++i) all[i].turn = static_cast<int>(i);
    return all;
  }();
  return list;
}

const LeverMesh& lever_mesh(const std::string& name) {
  const auto& all = lever_meshes();
  const auto found =
      std::ranges::find_if(all, [&](const LeverMesh& m) { return m.name == name; });
  TRM_CHECK(found != all.end(), "no mesh {}", name);
  return *found;
}

std::vector<LeverMesh> parity_meshes() {
  const auto with = [](const char* key, const Json& value) { return Json{{key, value}}; };
  const Json sequence = with("sequence_parallel", true);
  const Json interleaved = with("virtual_pipeline_chunks", 2);
  const char* const method = "pipe_partition_method";
  std::vector<LeverMesh> all{
      mesh_of("dp2", {.dp = 2}),
      mesh_of("dp4", {.dp = 4}),
      mesh_of("tp2", {.tp = 2}),
      mesh_of("tp4", {.tp = 4}),
      mesh_of("tp2_sp", {.tp = 2}, sequence),
      mesh_of("tp4_sp", {.tp = 4}, sequence),
      mesh_of("pp2", {.pp = 2}),
      mesh_of("pp4", {.pp = 4}, with(method, "uniform")),
      mesh_of("pp3", {.pp = 3}),  // uneven stages
      mesh_of("pp2_parameters", {.pp = 2}, with(method, "parameters")),
      mesh_of("pp4_gpipe", {.pp = 4}, with("pipeline_schedule", "gpipe")),
      mesh_of("pp2_interleaved", {.pp = 2}, interleaved),
      mesh_of("dp2_tp2", {.dp = 2, .tp = 2}),
      mesh_of("dp2_pp2", {.dp = 2, .pp = 2}, with(method, "type:embedding|transformer")),
      mesh_of("tp2_pp2", {.tp = 2, .pp = 2}),
      mesh_of("tp2_pp2_sp", {.tp = 2, .pp = 2}, sequence),
      mesh_of("dp2_tp2_pp2", {.dp = 2, .tp = 2, .pp = 2}),
      mesh_of("dp2_tp2_pp2_interleaved_sp", {.dp = 2, .tp = 2, .pp = 2},
              merged(interleaved, sequence))};
  for (std::size_t i = 0; i < all.size(); ++i) all[i].turn = static_cast<int>(i);
  return all;
}

Json parity_deck(std::size_t model, bool dropout) {
  return merged(kParityBase, kModelsOfParity.at(model), dropout ? kDropout : Json::object());
}

Json lever_model(int model) {
  return merged(kBase, {{"num_layers", 3}},
                kModels[static_cast<std::size_t>(model) % kModels.size()]);
}

Json lever_deck(const LeverMesh& mesh, int accumulation, int precision, const Json& zero,
                const Json& more) {
  const int turn = mesh.turn + (accumulation > 1 ? 1 : 0) + 2 * precision;
  return merged(
      lever_model(turn), mesh.deck,
      {{"precision", precision == 0 ? "fp32" : "bfloat16"},
       {"gradient_accumulation_steps", accumulation},
       {"zero_optimization", merged(kLayouts[static_cast<std::size_t>(turn) % 4], zero)}},
      more);
}

}  // namespace trireme::test
