// SPDX-License-Identifier: Apache-2.0
// Keys of GPT-NeoX and Megatron about the vocabulary, logs, launching and generation.
#include "tables.hpp"

namespace trireme::deck {
namespace {

using Shown = ForeignKeys::Shown;

const ForeignKey kPaddedVocabulary[] = {
    {"padded_vocab_size", "integer", "null", "rows of the embedding, padding included"},
};
const ForeignKey kVocabulary[] = {
    {"make_vocab_size_divisible_by", "integer", "128",
     "multiple to which the vocabulary is padded"},
};
const ForeignKey kWeightsBiasesAndComet[] = {
    {"use_wandb", "true or false", "null", "report to Weights & Biases"},
    {"wandb_group", "text", "null", "group of the runs"},
    {"wandb_run_name", "text", "null", "name of the run"},
    {"wandb_team", "text", "null", "team of the project"},
    {"wandb_project", "text", "\"neox\"", "project of the run"},
    {"wandb_host", "text", "\"https://api.wandb.ai\"", "address of the service"},
    {"wandb_init_all_ranks", "true or false", "false", "report from every rank"},
    {"use_comet", "true or false", "null", "report to Comet"},
    {"comet_workspace", "text", "null", "workspace of the project"},
    {"comet_project", "text", "null", "project of the run"},
    {"comet_experiment_name", "text", "null", "name of the experiment"},
    {"comet_experiment", "text", "null", "the experiment's object, which the program sets"},
    {"comet_tags", "list of texts", "null", "tags of the experiment"},
    {"comet_others", "dictionary", "null", "further values of the experiment"},
};
const ForeignKey kLogsAndMeasurements[] = {
    {"git_hash", "text", "null", "commit of the program"},
    {"log_dir", "text", "null", "folder of the logs"},
    {"log_grad_pct_zeros", "true or false", "false", "log the share of zeros in gradients"},
    {"log_param_norm", "true or false", "false", "log norms of parameters"},
    {"log_grad_norm", "true or false", "false", "log norms of gradients"},
    {"log_optimizer_states", "true or false", "false", "log norms of the optimizer's state"},
    {"memory_profiling", "true or false", "false", "record snapshots of memory"},
    {"memory_profiling_path", "text", "null", "file of the snapshots"},
    {"peak_theoretical_tflops", "number", "null",
     "rate of the device that utilization is a share of"},
};
const ForeignKey kFusedKernelsAndInitialization[] = {
    {"layernorm_fusion", "true or false", "false", "use a fused kernel for layernorm"},
    {"rmsnorm_fusion", "true or false", "false", "use a fused kernel for rmsnorm"},
    {"scaled_upper_triang_masked_softmax_fusion", "true or false", "false",
     "use a fused causal softmax"},
    {"scaled_masked_softmax_fusion", "true or false", "false", "use a fused masked softmax"},
    {"bias_dropout_fusion", "true or false", "false", "fuse bias and dropout"},
    {"rope_fusion", "true or false", "false", "use a fused kernel for rotary embedding"},
    {"use_flashattn_swiglu", "true or false", "false",
     "use flash attention's kernel for swiglu"},
    {"fused_kernels_build_path", "text", "null", "folder in which kernels are built"},
    {"apply_query_key_layer_scaling", "true or false", "false",
     "scale scores by 1 / layer and back"},
    {"attention_softmax_in_fp32", "true or false", "false",
     "compute softmax in fp32, as always here"},
    {"use_cpu_initialization", "true or false", "false", "compute initial weights on CPUs"},
    {"rotary_save_freqs_buffer", "true or false", "false",
     "keep rotary frequencies in checkpoints"},
    {"onnx_safe", "true or false", "false", "avoid operations that ONNX lacks"},
    {"output_layer_parallelism", "one of column, row", "column",
     "axis along which ranks share the output matrix"},
};
const ForeignKey kActivationCheckpointing[] = {
    {"deepspeed_activation_checkpointing", "true or false", "true", "let DeepSpeed recompute"},
    {"contiguous_checkpointing", "true or false", "false", "copy kept inputs into one buffer"},
    {"synchronize_each_layer", "true or false", "false",
     "wait for the device after each layer"},
    {"profile_backward", "true or false", "false", "time the recomputation"},
};
const ForeignKey kLaunching[] = {
    {"distributed_backend", "text", "nccl", "library of collectives"},
    {"local_rank", "integer", "null", "number of the rank on its node"},
    {"rank", "integer", "null", "number of the rank"},
    {"world_size", "integer", "null", "number of ranks"},
    {"global_num_gpus", "integer", "null", "number of ranks"},
    {"lazy_mpu_init", "true or false", "false", "make process groups later"},
    {"adlr_autoresume", "true or false", "false", "resume by a service of one cluster"},
    {"adlr_autoresume_interval", "integer", "1000",
     "iterations between questions to this service"},
    {"deepscale", "true or false", "false", "use DeepSpeed under its former name"},
    {"deepscale_config", "text", "null", "file for DeepSpeed under its former name"},
    {"deepspeed_mpi", "true or false", "false", "find ranks through MPI"},
    {"deepspeed_slurm", "true or false", "false", "find ranks through Slurm"},
    {"user_script", "text", "null", "program to launch"},
    {"deepspeed", "true or false", "true", "train by DeepSpeed"},
    {"config_files", "dictionary", "null", "decks, which the program records"},
    {"hostfile", "text", "null", "file of host names"},
    {"exclude", "text", "null", "hosts to leave out"},
    {"num_nodes", "integer", "-1", "number of nodes"},
    {"num_gpus", "integer", "null", "devices of a node"},
    {"master_port", "integer", "29500", "port of the first rank"},
    {"master_addr", "text", "null", "address of the first rank"},
    {"launcher", "one of pdsh, openmpi, mvapich, slurm", "pdsh", "program that starts ranks"},
    {"force_multi", "true or false", "false",
     "start ranks through the launcher on one node too"},
    {"autotuning_run", "text", "null", "mode of DeepSpeed's autotuner"},
    {"no_ssh_check", "true or false", "false", "don't check SSH"},
    {"comment", "text", "null", "comment of the Slurm job"},
    {"account", "text", "null", "account of the Slurm job"},
    {"use_shared_fs", "true or false", "true", "all nodes see one file system"},
    {"is_pipe_parallel", "true or false", "false", "set by the program"},
    {"do_train", "true or false", "null", "set by the program"},
    {"do_valid", "true or false", "null", "set by the program"},
    {"do_test", "true or false", "null", "set by the program"},
};
const ForeignKey kDataLoading[] = {
    {"data_impl", "one of infer, mmap, cached", "infer", "how data files are opened"},
    {"mmap_warmup", "true or false", "false", "read data files once beforehand"},
    {"num_workers", "integer", "2", "processes that load data"},
    {"short_seq_prob", "number", "0.1", "share of short samples, for BERT"},
};
const ForeignKey kGenerationAndEvaluation[] = {
    {"precompute_model_name", "text", "null", "model whose logits are kept"},
    {"return_logits", "true or false", "false", "return logits too"},
    {"eval_results_prefix", "text", "\"\"", "start of the results' file name"},
};
const ForeignKey kRandomState[] = {
    {"no_save_rng", "true or false", "false", "save no random state"},
};

const ForeignKeys kNeoxForeign[] = {
    {"Padded vocabulary", Origin::neox, "", Standing::no_meaning, "the vocabulary isn't padded",
     kPaddedVocabulary},
    {"Vocabulary", Origin::megatron, "", Standing::no_meaning, "the vocabulary isn't padded",
     kVocabulary},
    {"Weights & Biases and Comet", Origin::neox, "", Standing::no_meaning, "",
     kWeightsBiasesAndComet},
    {"Logs and measurements", Origin::neox, "", Standing::no_meaning, "", kLogsAndMeasurements},
    {"Fused kernels and initialization", Origin::neox, "", Standing::no_meaning,
     "the result is the same", kFusedKernelsAndInitialization},
    {"Activation checkpointing", Origin::neox, "", Standing::no_meaning, "",
     kActivationCheckpointing},
    {"Launching", Origin::neox, "", Standing::no_meaning, "an MPI launcher starts the ranks",
     kLaunching},
    {"Data loading", Origin::neox, "", Standing::no_meaning, "", kDataLoading},
    {"Generation and evaluation", Origin::neox, "", Standing::no_meaning,
     "for other programs than training; see trireme eval", kGenerationAndEvaluation},
    {"Random state", Origin::megatron, "", Standing::no_meaning,
     "the random state is one number, the seed, and is always kept", kRandomState},
};

}  // namespace

std::span<const ForeignKeys> neox_keys() { return kNeoxForeign; }

}  // namespace trireme::deck
