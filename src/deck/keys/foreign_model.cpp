// SPDX-License-Identifier: Apache-2.0
// Keys of GPT-NeoX's models, objectives and data that are not available here, and their
// settings.
#include "tables.hpp"

namespace trireme::deck {
namespace {

using Shown = ForeignKeys::Shown;

const ForeignKey kAttentionSettings[] = {
    {"attention_config", "list", "null", "kinds of attention, each with a number of layers"},
};
const ForeignKey kAttention[] = {
    {"sparsity_config", "dictionary", "null", "pattern of sparse attention"},
};
const ForeignKey kPositionEmbedding[] = {
    {"opt_pos_emb_offset", "integer", "0", "first row of a learned position embedding"},
};
const ForeignKey kPartsOfAModel[] = {
    {"fp16_lm_cross_entropy", "true or false", "false", "compute the loss in fp16"},
    {"soft_prompt_tuning", "dictionary", "null", "train a prompt instead of the model"},
    {"num_unique_layers", "integer", "null", "number of layers with weights of their own"},
    {"mlp_type", "one of regular, llama", "regular",
     "former way to choose a gated MLP; use activation: swiglu"},
    {"z_loss", "number", "0.0", "weight of the penalty on the logits' normalizer"},
};
const ForeignKey kTransformerEngine[] = {
    {"te_columnparallel", "true or false", "false", "matrices that are sharded by columns"},
    {"te_rowparallel", "true or false", "false", "matrices that are sharded by rows"},
    {"te_layernorm_mlp", "true or false", "false", "norm and MLP"},
    {"te_mha", "true or false", "false", "attention"},
    {"te_fp8_mha", "true or false", "false", "attention in FP8"},
};
const ForeignKey kTransformerEngineSettings[] = {
    {"te_fp8_format", "one of e4m3, hybrid", "hybrid", "FP8 format"},
    {"te_fp8_wgrad", "true or false", "true", "FP8 gradients of weights"},
    {"te_fp8_amax_history_len", "integer", "1", "steps that a scale looks back"},
    {"te_fp8_amax_compute_algo", "text", "\"most_recent\"", "how a scale follows"},
    {"te_fp8_margin", "integer", "0", "margin of a scale"},
};
const ForeignKey kMixtureOfExperts[] = {
    {"moe_num_experts", "integer", "1", "number of experts"},
};
const ForeignKey kMixtureOfExpertsSettings[] = {
    {"moe_expert_interval", "integer", "1", "layers from one mixture to the next"},
    {"moe_top_k", "integer", "1", "experts of a token"},
    {"moe_router_type", "one of sinkhorn, topk", "sinkhorn", "router"},
    {"moe_lbl_in_fp32", "true or false", "false", "compute the balance loss in fp32"},
    {"moe_jitter_eps", "number", "null", "noise of the router"},
    {"moe_expert_parallel_size", "integer", "1", "ranks that share the experts"},
    {"moe_type", "text", "\"megablocks\"", "implementation"},
    {"moe_loss_coeff", "number", "0.1", "weight of the balance loss"},
    {"moe_z_loss_coeff", "number", "0.0", "weight of the router's penalty"},
    {"moe_token_dropping", "true or false", "false", "drop tokens of full experts"},
    {"moe_train_capacity_factor", "number", "1.0", "room of an expert in training"},
    {"moe_eval_capacity_factor", "number", "1.0", "room of an expert in evaluation"},
    {"moe_min_capacity", "integer", "4", "least room of an expert"},
    {"moe_use_residual", "true or false", "true", "add a dense expert"},
    {"moe_glu", "true or false", "false", "use gated experts"},
    {"enable_expert_tensor_parallelism", "true or false", "false", "shard each expert"},
};
const ForeignKey kOtherModelsSettings[] = {
    {"scalenorm_epsilon", "number", "1e-08", "epsilon of scalenorm"},
    {"rpe_num_buckets", "integer", "32", "buckets of relative positions"},
    {"rpe_max_distance", "integer", "128", "largest relative position"},
    {"param_sharing_style", "one of grouped, spaced", "grouped", "order of shared layers"},
    {"gmlp_attn_dim", "integer", "64", "width of gmlp's attention"},
    {"mamba_selective_scan_fusion", "true or false", "false", "use a fused kernel"},
    {"mamba_causal_conv_fusion", "true or false", "false", "use a fused kernel"},
    {"mamba_inner_func_fusion", "true or false", "false", "use a fused kernel"},
    {"mamba_selective_fp32_params", "true or false", "true", "keep some parameters in fp32"},
    {"mamba_use_bias_in_conv", "true or false", "true", "use a bias in the convolution"},
    {"mamba_use_bias_in_linears", "true or false", "false", "use biases in matrices"},
    {"dim_att", "integer", "null", "width of rwkv's attention"},
    {"head_size", "integer", "null", "width of rwkv's heads"},
    {"ffn_dim", "integer", "null", "width of rwkv's MLP"},
};
const ForeignKey kPSettings[] = {
    {"mup_rp_embedding_mult", "number", "1.0", "factor of relative positions"},
    {"mup_width_scale", "integer", "2", "width of the second base model"},
};
const ForeignKey kObjectives[] = {
    {"train_impl", "one of normal, dpo, rm, kto, reinforce", "normal", "objective"},
    {"dataset_impl", "one of gpt2, pairwise, online", "gpt2", "kind of data set"},
    {"serve_model_weights", "true or false", "false", "serve the weights while training"},
    {"train_reward_data_paths", "list of texts", "null", "rewards of training data"},
    {"test_reward_data_paths", "list of texts", "null", "rewards of test data"},
    {"valid_reward_data_paths", "list of texts", "null", "rewards of validation data"},
    {"pos_train_data_paths", "list of texts", "null", "preferred training data"},
    {"neg_train_data_paths", "list of texts", "null", "rejected training data"},
    {"pos_train_label_data_paths", "list of texts", "null",
     "labels of preferred training data"},
    {"neg_train_label_data_paths", "list of texts", "null", "labels of rejected training data"},
    {"pos_valid_data_paths", "list of texts", "null", "preferred validation data"},
    {"neg_valid_data_paths", "list of texts", "null", "rejected validation data"},
    {"pos_valid_label_data_paths", "list of texts", "null",
     "labels of preferred validation data"},
    {"neg_valid_label_data_paths", "list of texts", "null",
     "labels of rejected validation data"},
    {"pos_test_data_paths", "list of texts", "null", "preferred test data"},
    {"neg_test_data_paths", "list of texts", "null", "rejected test data"},
    {"pos_test_label_data_paths", "list of texts", "null", "labels of preferred test data"},
    {"neg_test_label_data_paths", "list of texts", "null", "labels of rejected test data"},
};
const ForeignKey kObjectivesSettings[] = {
    {"dpo_fp32", "true or false", "true", "compute DPO in fp32"},
    {"dpo_reference_free", "true or false", "false", "DPO without a reference"},
    {"dpo_beta", "number", "0.1", "β of DPO"},
    {"kto_fp32", "true or false", "true", "compute KTO in fp32"},
    {"kto_desirable_weight", "number", "1.0", "weight of desirable samples"},
    {"kto_undesirable_weight", "number", "1.0", "weight of undesirable samples"},
    {"kto_beta", "number", "0.1", "β of KTO"},
    {"fp32_reinforce", "true or false", "true", "compute REINFORCE in fp32"},
    {"kl_impl", "one of abs, mse, kl, full", "mse", "estimate of the divergence"},
    {"kl_div_beta", "number", "0.1", "weight of the divergence"},
    {"reinforce_leave_one_out", "true or false", "false", "baseline of REINFORCE"},
    {"weight_server_port", "integer", "6000", "port that serves weights"},
    {"online_dataserver_ips", "text", "\"localhost\"", "addresses of the data server"},
    {"online_dataserver_ports", "integer", "10000", "ports of the data server"},
};
const ForeignKey kLossAndData[] = {
    {"char_level_ppl", "true or false", "false", "perplexity per character"},
};
const ForeignKey kLengthOfTheRun[] = {
    {"train_epochs", "integer", "null", "epochs to train"},
};
const ForeignKey kModelCheckpoints[] = {
    {"s3_path", "text", "null", "bucket for checkpoints"},
};
const ForeignKey kCheckpointsSettings[] = {
    {"s3_chunk_size", "integer", "104857600", "bytes of a part of an upload"},
};
const ForeignKey kModelCheckpoints2[] = {
    {"save_iters", "list of integers", "null", "set by the program"},
};
const ForeignKey kCheckpoints3[] = {
    {"checkpoint_validation_with_forward_pass", "true or false", "false",
     "compare outputs after loading"},
};

const ForeignKeys kModelForeign[] = {
    {"Attention", Origin::neox, "", Standing::no_meaning,
     "layers have one kind of attention, global or flash; see sliding_window_width for windows",
     kAttentionSettings, Shown::never},
    {"Attention", Origin::neox, "", Standing::not_available,
     "there are no sparse patterns; leave it out, or set sliding_window_width", kAttention},
    {"Position embedding", Origin::neox, "", Standing::not_available,
     "positions count from 0; leave it out", kPositionEmbedding},
    {"Parts of a model", Origin::neox, "", Standing::not_available,
     "this feature isn't available; leave it out", kPartsOfAModel},
    {"Transformer Engine", Origin::neox, "", Standing::not_available,
     "it computes in FP8 by Transformer Engine; leave it out, and use precision: bfloat16",
     kTransformerEngine},
    {"Transformer Engine", Origin::neox, "", Standing::no_meaning,
     "settings of features that are off", kTransformerEngineSettings, Shown::changed},
    {"Mixture of experts", Origin::neox, "", Standing::not_available,
     "mixture of experts isn't available", kMixtureOfExperts, Shown::each, "0|1"},
    {"Mixture of experts", Origin::neox, "", Standing::no_meaning,
     "settings of features that are off", kMixtureOfExpertsSettings, Shown::changed},
    {"Other models", Origin::neox, "", Standing::no_meaning,
     "for models that another key chooses", kOtherModelsSettings, Shown::changed},
    {"muP", Origin::neox, "", Standing::no_meaning,
     "there are no relative positions, and the growing widths are known by name", kPSettings,
     Shown::changed},
    {"Objectives", Origin::neox, "", Standing::not_available,
     "training here predicts the next token of plain token files (data_path)", kObjectives},
    {"Objectives", Origin::neox, "", Standing::no_meaning, "settings of features that are off",
     kObjectivesSettings, Shown::changed},
    {"Loss and data", Origin::neox, "", Standing::not_available, "perplexity is per token",
     kLossAndData},
    {"Length of the run", Origin::neox, "", Standing::not_available, "use train_iters",
     kLengthOfTheRun},
    {"Checkpoints", Origin::neox, "", Standing::not_available, "save to a folder",
     kModelCheckpoints},
    {"Checkpoints", Origin::neox, "", Standing::no_meaning, "settings of features that are off",
     kCheckpointsSettings, Shown::changed},
    {"Checkpoints", Origin::neox, "", Standing::not_available, "use extra_save_iters",
     kModelCheckpoints2},
    {"Checkpoints", Origin::neox, "", Standing::not_available,
     "this feature isn't available; leave it out", kCheckpoints3},
};

}  // namespace

std::span<const ForeignKeys> model_foreign() { return kModelForeign; }

}  // namespace trireme::deck
