// SPDX-License-Identifier: Apache-2.0
// Keys of GPT-NeoX and DeepSpeed that set nothing here: without effect, or not available.
#include "tables.hpp"

namespace trireme::deck {
namespace {

using Shown = IgnoredKeys::Shown;

const IgnoredKeys kIgnored[] = {
    {"", "tokenizer_type padded_vocab_size vocab_file merge_file", Shown::each,
     "the data file names its tokenizer"},
    {"", "make_vocab_size_divisible_by", Shown::each, "the vocabulary isn't padded"},
    {"", "use_wandb wandb_group wandb_team wandb_project wandb_host wandb_init_all_ranks"},
    {"",
     "use_comet comet_workspace comet_project comet_experiment_name comet_tags "
     "comet_others git_hash log_dir log_grad_pct_zeros log_param_norm "
     "log_grad_norm log_optimizer_states log_gradient_noise_scale "
     "gradient_noise_scale_n_batches gradient_noise_scale_cpu_offload memory_profiling "
     "memory_profiling_path "
     "steps_per_print wall_clock_breakdown dump_state"},
    {"",
     "layernorm_fusion rmsnorm_fusion scaled_upper_triang_masked_softmax_fusion "
     "scaled_masked_softmax_fusion bias_dropout_fusion rope_fusion use_flashattn_swiglu "
     "fused_kernels_build_path apply_query_key_layer_scaling attention_softmax_in_fp32 "
     "use_cpu_initialization rotary_save_freqs_buffer onnx_safe"},
    // Settings of features that another key refuses.
    {"",
     "moe_expert_interval moe_top_k moe_router_type moe_lbl_in_fp32 moe_jitter_eps "
     "scalenorm_epsilon rpe_num_buckets rpe_max_distance param_sharing_style gmlp_attn_dim "
     "mamba_selective_scan_fusion mamba_causal_conv_fusion mamba_inner_func_fusion "
     "mamba_selective_fp32_params mamba_use_bias_in_conv mamba_use_bias_in_linears "
     "dim_att"},
    {"",
     "head_size ffn_dim dpo_fp32 dpo_reference_free dpo_beta kto_fp32 "
     "kto_desirable_weight kto_undesirable_weight kto_beta base_shapes_file "
     "mup_init_scale mup_attn_temp mup_output_temp mup_embedding_mult "
     "mup_rp_embedding_mult mup_width_scale curriculum_seqlen s3_chunk_size"},
    {"",
     "deepspeed_activation_checkpointing contiguous_checkpointing synchronize_each_layer "
     "profile_backward"},
    {"", "prescale_gradients gradient_predivide_factor sparse_gradients"},
    {"",
     "distributed_backend local_rank rank lazy_mpu_init short_seq_prob adlr_autoresume "
     "adlr_autoresume_interval deepscale deepscale_config deepspeed_mpi deepspeed_slurm "
     "user_script iteration do_train do_valid do_test global_num_gpus world_size"},
    {"",
     "is_pipe_parallel deepspeed config_files hostfile include exclude num_nodes num_gpus "
     "master_port master_addr launcher force_multi autotuning_run no_ssh_check comment "
     "account"},
    {"",
     "text_gen_type precompute_model_name temperature top_p top_k return_logits "
     "maximum_tokens prompt_end sample_input_file sample_output_file num_samples recompute "
     "eval_results_prefix eval_tasks"},
    {"", "use_shared_fs data_impl allow_chopped mmap_warmup num_workers"},
    {"zero_optimization",
     "load_from_fp32_weights grad_hooks elastic_checkpoint ignore_unused_parameters "
     "stage3_max_reuse_distance stage3_gather_16bit_weights_on_model_save "
     "stage3_gather_fp16_weights_on_model_save stage3_module_granularity_threshold "
     "log_trace_cache_warnings"},
    {"zero_optimization.offload_param",
     "nvme_path pin_memory buffer_count buffer_size max_in_cpu", Shown::never},
    {"zero_optimization.offload_optimizer",
     "nvme_path pin_memory buffer_count fast_init ratio pipeline pipeline_read pipeline_write",
     Shown::never},
    {"fp16", "fp16 auto_cast", Shown::never},
    {"bf16", "immediate_grad_update", Shown::never},
    {"amp", "opt_level loss_scale", Shown::never},
    {"torch_autocast", "dtype lower_precision_safe_modules", Shown::never},
    {"aio", "block_size queue_depth thread_count single_submit overlap_events", Shown::whole},
    {"autotuning",
     "results_dir exps_dir overwrite metric start_profile_step end_profile_step fast "
     "max_train_batch_size mp_size num_tuning_micro_batch_sizes tuner_type "
     "tuner_early_stopping tuner_num_trials arg_mappings min_train_batch_size "
     "max_train_micro_batch_size_per_gpu min_train_micro_batch_size_per_gpu metric_path "
     "model_info",
     Shown::never},
    {"flops_profiler",
     "enabled profile_step module_depth top_modules detailed output_file "
     "recompute_fwd_factor",
     Shown::whole},
    {"activation_checkpointing",
     "contiguous_memory_optimization number_checkpoints synchronize_checkpoint_boundary "
     "profile"},
    {"data_efficiency", "seed data_routing data_sampling random_ltd curriculum_learning",
     Shown::never},
    {"curriculum_learning",
     "curriculum_type min_difficulty max_difficulty schedule_type schedule_config "
     "total_curriculum_step difficulty_step root_degree difficulty max_step",
     Shown::never},
    {"elasticity",
     "max_train_batch_size micro_batch_sizes min_gpus max_gpus min_time version "
     "prefer_larger_batch ignore_non_elastic_batch_info num_gpus_per_node "
     "model_parallel_size",
     Shown::never},
    {"wandb", "enabled group team project", Shown::whole},
    {"comet",
     "enabled workspace project samples_log_interval experiment_name api_key experiment_key "
     "online mode",
     Shown::whole},
    {"csv_monitor", "enabled output_path job_name", Shown::whole},
    {"comms_logger", "enabled verbose prof_all prof_ops debug", Shown::whole},
    {"checkpoint", "tag_validation use_node_local_storage parallel_write pipeline_stage"},
    {"checkpoint", "load_universal", Shown::each, "any checkpoint loads on any mesh"},
    {"", "no_save_rng", Shown::each,
     "the random state is one number, the seed, and is always kept"},
};

constexpr std::string_view kNoAutocast = "use precision: bfloat16 or fp16";
constexpr std::string_view kNoOffload = "offloading isn't implemented yet";
constexpr std::string_view kPlainData = "training here reads plain token files (data_path)";
constexpr std::string_view kNoMup = "µP isn't implemented";

const RefusedKeys kRefused[] = {
    {"", "moe_num_experts", "0|1", "mixture of experts isn't implemented"},
    {"", "sliding_window_width", "0", "attention always covers the whole sequence"},
    {"", "use_qk_layernorm fp16_lm_cross_entropy", "", "this feature isn't implemented"},
    {"", "opt_pos_emb_offset", "0", "positions count from 0"},
    {"", "attention_config", "global|flash",
     "attention always covers the whole sequence; use [[[\"global\"], num_layers]]"},
    {"", "sparsity_config sparse_attention", "", "attention always covers the whole sequence"},
    {"", "num_unique_layers", "", "layers don't share weights"},
    {"", "output_layer_parallelism", "column",
     "the output matrix is partitioned by vocabulary"},
    {"", "soft_prompt_tuning", "", "this feature isn't implemented"},
    {"", "use_bnb_optimizer", "", "use optimizer: {type: AdamW}"},
    {"zero_optimization", "cpu_offload", "", kNoOffload},
    {"zero_optimization.offload_param", "device", "none", kNoOffload},
    {"zero_optimization.offload_optimizer", "device", "none", kNoOffload},
    {"zero_optimization", "zero_quantized_weights zero_quantized_gradients", "",
     "values are gathered unquantized"},
    {"zero_optimization", "zero_hpz_partition_size", "0|1",
     "weights are sharded over all data-parallel ranks"},
    {"optimizer.params", "adam_w_mode bias_correction", "true", "Adam here is AdamW"},
    {"optimizer.params", "amsgrad nesterov dampening max_grad_norm", "0|0.0",
     "this feature isn't implemented; to clip, use gradient_clipping"},
    {"optimizer.params", "torch_adam", "true|false", "leave it out"},
    {"", "scheduler", "",
     "use lr_decay_style: constant for WarmupLR, linear for WarmupDecayLR, cosine for "
     "WarmupCosineLR. Set lr_decay_iters = total_num_steps, warmup = warmup_num_steps / "
     "total_num_steps, and min_lr"},
    {"amp", "enabled", "", kNoAutocast},
    {"torch_autocast", "enabled", "", kNoAutocast},
    {"", "gradient_allreduce_op", "mean", "gradients are averaged"},
    {"", "managed_gradient_accumulation", "true", "accumulation is always managed"},
    {"autotuning", "enabled", "", "this feature isn't implemented"},
    {"elasticity", "enabled", "", "this feature isn't implemented"},
    {"", "compression_training deepspeed_extra_args", "", "this feature isn't implemented"},
    {"data_efficiency", "enabled", "", "this feature isn't implemented"},
    {"curriculum_learning", "enabled", "", "this feature isn't implemented"},
    {"", "eod_mask_loss", "", "the loss counts every token"},
    {"", "char_level_ppl", "", "perplexity is per token"},
    {"",
     "train_label_data_paths train_reward_data_paths test_label_data_paths "
     "test_reward_data_paths valid_label_data_paths valid_reward_data_paths "
     "pos_train_data_paths neg_train_data_paths pos_train_label_data_paths "
     "neg_train_label_data_paths pos_valid_data_paths neg_valid_data_paths "
     "pos_valid_label_data_paths neg_valid_label_data_paths pos_test_data_paths "
     "neg_test_data_paths pos_test_label_data_paths neg_test_label_data_paths",
     "", kPlainData},
    {"", "pack_impl", "packed", kPlainData},
    {"", "dataset_impl", "gpt2", kPlainData},
    {"", "train_impl", "normal", kPlainData},
    {"", "weight_by_num_documents", "", "use train_data_weights"},
    {"", "weighted_sampler_alpha", "1|1.0", "use train_data_weights"},
    {"", "train_epochs", "", "use train_iters"},
    {"", "s3_path", "", "save to a folder"},
    {"", "save_iters", "", "use extra_save_iters"},
    {"", "checkpoint_validation_with_forward_pass", "", "this feature isn't implemented"},
    {"", "use_mup coord_check save_base_shapes", "", kNoMup},
};

}  // namespace

std::span<const IgnoredKeys> ignored_keys() { return kIgnored; }
std::span<const RefusedKeys> refused_keys() { return kRefused; }

}  // namespace trireme::deck
