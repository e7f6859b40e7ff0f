// SPDX-License-Identifier: Apache-2.0
// Keys of DeepSpeed outside of ZeRO that set nothing here.
#include "tables.hpp"

namespace trireme::deck {
namespace {

using Shown = ForeignKeys::Shown;

const ForeignKey kLogs[] = {
    {"steps_per_print", "integer", "10", "steps between lines of the log"},
    {"wall_clock_breakdown", "true or false", "false", "log times of the parts of a step"},
    {"memory_breakdown", "true or false", "false", "log memory"},
    {"dump_state", "true or false", "false", "print DeepSpeed's state"},
};
const ForeignKey kCommunication[] = {
    {"prescale_gradients", "true or false", "false", "divide gradients before their reduction"},
    {"gradient_predivide_factor", "number", "1.0",
     "divisor of gradients before their reduction"},
    {"sparse_gradients", "true or false", "false", "reduce sparse gradients of embeddings"},
    {"disable_allgather", "true or false", "false", "gather values by broadcasts"},
    {"allgather_size", "integer", "500000000",
     "elements of one gather, in decks of former versions"},
    {"seq_parallel_communication_data_type", "text", "null",
     "type of sequence parallelism's messages"},
};
const ForeignKey kCommunication2[] = {
    {"gradient_allreduce_op", "text", "\"mean\"", "how gradients are reduced"},
};
const ForeignKey kOptimizersAndData[] = {
    {"zero_allow_untested_optimizer", "true or false", "false",
     "allow ZeRO with other optimizers"},
    {"zero_force_ds_cpu_optimizer", "true or false", "true",
     "offloaded states need DeepSpeed's optimizer"},
    {"dataloader_drop_last", "true or false", "false", "leave out an incomplete last batch"},
    {"use_data_before_expert_parallel_parallelism", "true or false", "false",
     "order of ranks with experts"},
    {"graph_harvesting", "true or false", "false", "replay CUDA graphs"},
    {"timers", "dictionary", "null", "settings of timers"},
};
const ForeignKey kAccumulation[] = {
    {"managed_gradient_accumulation", "true or false", "true",
     "DeepSpeed counts micro-batches"},
};
const ForeignKey kPrecisionSettings[] = {
    {"fp16", "true or false", "null", "set by GPT-NeoX"},
    {"auto_cast", "true or false", "false", "cast inputs to fp16"},
};
const ForeignKey kPrecision[] = {
    {"loss_scale", "number", "0", "fixed loss scale"},
    {"initial_scale_power", "integer", "16", "first loss scale"},
    {"loss_scale_window", "integer", "1000", "steps until the loss scale doubles"},
    {"hysteresis", "integer", "2", "overflows until the loss scale halves"},
    {"consecutive_hysteresis", "true or false", "false",
     "refill the hysteresis after each step"},
    {"min_loss_scale", "number", "1", "lowest loss scale"},
};
const ForeignKey kPrecisionSettings2[] = {
    {"auto_cast", "true or false", "false", "cast inputs to bf16"},
    {"immediate_grad_update", "true or false", "true",
     "sum gradients as soon as they are computed"},
    {"check_grad_overflow", "true or false", "false",
     "check gradients for overflow, as always here"},
};
const ForeignKey kPrecision2[] = {
    {"enabled", "true or false", "false", "mixed precision by Apex"},
};
const ForeignKey kPrecisionSettings3[] = {
    {"opt_level", "text", "\"O1\"", "level of Apex"},
    {"loss_scale", "text", "\"dynamic\"", "loss scale of Apex"},
};
const ForeignKey kPrecision3[] = {
    {"enabled", "true or false", "false", "mixed precision by torch.autocast"},
};
const ForeignKey kPrecisionSettings4[] = {
    {"dtype", "text", "\"bfloat16\"", "type of autocast"},
    {"lower_precision_safe_modules", "list of texts", "null", "modules to cast"},
};
const ForeignKey kCompilation[] = {
    {"enabled", "true or false", "false", "compile by torch.compile"},
    {"backend", "text", "\"inductor\"", "compiler"},
    {"kwargs", "dictionary", "{}", "settings of the compiler"},
    {"deepcompile", "true or false", "false", "compile ZeRO too"},
};
const ForeignKey kOptimizers[] = {
    {"legacy_fusion", "true or false", "false", "kernel of former versions"},
};
const ForeignKey kOptimizers3[] = {
    {"amsgrad", "true or false", "false", "AMSGrad"},
    {"eps_inside_sqrt", "true or false", "false", "Lamb adds eps below the root"},
    {"maximize", "true or false", "false", "ascend"},
};
const ForeignKey kOptimizers4[] = {
    {"max_grad_norm", "number", "0.0", "largest norm of the gradient"},
};
const ForeignKey kOptimizersSettings[] = {
    {"torch_adam", "true or false", "false", "use PyTorch's Adam"},
    {"fused", "true or false", "null", "use a fused kernel"},
    {"foreach", "true or false", "null", "use kernels over lists"},
    {"capturable", "true or false", "false", "may be captured in a CUDA graph"},
    {"differentiable", "true or false", "false", "gradients may pass through the step"},
    {"set_grad_none", "true or false", "true", "free gradients after a step"},
    {"cuda_aware", "true or false", "false", "MPI takes arrays of a GPU"},
    {"comm_backend_name", "one of nccl, mpi, hccl, compressed", "nccl",
     "what moves compressed signs; MPI does so here"},
    {"ns_method", "one of gram, standard", "gram", "how Muon computes the same matrix"},
};
const ForeignKey kProfiler[] = {
    {"enabled", "true or false", "false", "count FLOPs"},
    {"profile_step", "integer", "1", "step to count"},
    {"module_depth", "integer", "-1", "depth of modules to list"},
    {"top_modules", "integer", "1", "modules to list"},
    {"detailed", "true or false", "true", "list all modules"},
    {"output_file", "text", "null", "file of the list"},
    {"recompute_fwd_factor", "number", "0.0", "share of recomputed forwards"},
};
const ForeignKey kMonitors[] = {
    {"enabled", "true or false", "false", "report to Weights & Biases"},
    {"group", "text", "null", "group of the runs"},
    {"team", "text", "null", "team of the project"},
    {"project", "text", "\"deepspeed\"", "project of the run"},
};
const ForeignKey kMonitors2[] = {
    {"enabled", "true or false", "false", "report to Comet"},
    {"workspace", "text", "null", "workspace of the project"},
    {"project", "text", "null", "project of the run"},
    {"samples_log_interval", "integer", "100", "samples between reports"},
    {"experiment_name", "text", "null", "name of the experiment"},
    {"api_key", "text", "null", "key of the service"},
    {"experiment_key", "text", "null", "experiment to continue"},
    {"online", "true or false", "null", "report at once"},
    {"mode", "text", "null", "create or continue"},
};
const ForeignKey kMonitors3[] = {
    {"enabled", "true or false", "false", "write CSV files"},
    {"output_path", "text", "\"\"", "folder of the files"},
    {"job_name", "text", "\"DeepSpeedJobName\"", "name of the folder"},
};
const ForeignKey kMonitors4[] = {
    {"enabled", "true or false", "false", "log communication"},
    {"verbose", "true or false", "false", "log each operation"},
    {"prof_all", "true or false", "true", "log all operations"},
    {"prof_ops", "list of texts", "[]", "operations to log"},
    {"debug", "true or false", "false", "log callers too"},
};
const ForeignKey kRecomputation[] = {
    {"contiguous_memory_optimization", "true or false", "false",
     "copy kept inputs into one buffer"},
    {"number_checkpoints", "integer", "null", "number of kept inputs"},
    {"synchronize_checkpoint_boundary", "true or false", "false",
     "wait for the device between layers"},
    {"profile", "true or false", "false", "time the recomputation"},
};
const ForeignKey kCheckpoints[] = {
    {"tag_validation", "one of Ignore, Warn, Fail", "Warn",
     "check that ranks save under one name"},
    {"use_node_local_storage", "true or false", "false", "every node has its own disk"},
    {"parallel_write", "dictionary", "null", "settings of parallel writing"},
    {"pipeline_stage", "true or false", "false", "stages write at once"},
    {"writer", "dictionary", "null", "settings of the writer"},
};
const ForeignKey kCheckpoints2[] = {
    {"load_universal", "true or false", "false", "load a checkpoint of another mesh"},
};
const ForeignKey kAsynchronousIO[] = {
    {"use_gds", "true or false", "false", "read into device memory"},
    {"intra_op_parallelism", "integer", "1", "requests of one transfer"},
};
const ForeignKey kAutotuning[] = {
    {"enabled", "true or false", "false", "search settings by trial"},
};
const ForeignKey kAutotuningSettings[] = {
    {"results_dir", "text", "\"autotuning_results\"", "folder of results"},
    {"exps_dir", "text", "\"autotuning_exps\"", "folder of trials"},
    {"overwrite", "true or false", "false", "replace earlier results"},
    {"metric", "text", "throughput", "what to maximize"},
    {"metric_path", "text", "null", "file of the metric"},
    {"start_profile_step", "integer", "3", "first step of a trial"},
    {"end_profile_step", "integer", "5", "last step of a trial"},
    {"fast", "true or false", "true", "try fewer settings"},
    {"max_train_batch_size", "integer", "null", "largest batch"},
    {"min_train_batch_size", "integer", "1", "smallest batch"},
    {"max_train_micro_batch_size_per_gpu", "integer", "1024", "largest micro-batch"},
    {"min_train_micro_batch_size_per_gpu", "integer", "1", "smallest micro-batch"},
    {"mp_size", "integer", "1", "ranks that share a model"},
    {"num_tuning_micro_batch_sizes", "integer", "3", "micro-batches to try"},
    {"tuner_type", "text", "model_based", "kind of search"},
    {"tuner_early_stopping", "integer", "5", "trials without gain"},
    {"tuner_num_trials", "integer", "50", "most trials"},
    {"arg_mappings", "dictionary", "null", "names of the program's options"},
    {"model_info", "dictionary", "null", "sizes of the model"},
    {"model_info_path", "text", "null", "file of these sizes"},
    {"mp_size_path", "text", "null", "file of mp_size"},
};
const ForeignKey kElasticity[] = {
    {"enabled", "true or false", "false", "change the number of ranks"},
};
const ForeignKey kElasticitySettings[] = {
    {"max_train_batch_size", "integer", "2000", "largest batch"},
    {"micro_batch_sizes", "list of integers", "[2, 4, 6]", "micro-batches to choose from"},
    {"min_gpus", "integer", "1", "fewest ranks"},
    {"max_gpus", "integer", "10000", "most ranks"},
    {"min_time", "integer", "20", "minutes between changes"},
    {"version", "number", "0.2", "version of the rule"},
    {"prefer_larger_batch", "true or false", "true", "prefer larger batches"},
    {"ignore_non_elastic_batch_info", "true or false", "false", "ignore other batch sizes"},
    {"num_gpus_per_node", "integer", "1", "ranks on a node"},
    {"model_parallel_size", "integer", "1", "ranks that share a model"},
};
const ForeignKey kCurriculumMetrics[] = {
    {"curriculum_type", "text", "seqlen", "measure of difficulty"},
};
const ForeignKey kCurriculumSettings2[] = {
    {"curriculum_seqlen", "integer", "0", "set by the program"},
};
const ForeignKey kDataRouting[] = {
    {"data_routing", "dictionary", "{}", "tokens that skip layers"},
    {"random_ltd", "dictionary", "{}", "random layers that tokens skip"},
};
const ForeignKey kDataEfficiencySettings[] = {
    {"seed", "integer", "1234", "seed of the sampling"},
    {"curriculum_learning", "dictionary", "{}", "curriculum of samples"},
    {"data_sampling.num_epochs", "integer", "1000", "most epochs"},
    {"data_sampling.num_workers", "integer", "0", "processes that read data"},
    {"data_sampling.pin_memory", "true or false", "false", "pin host memory"},
    {"data_sampling.curriculum_learning.data_cluster_path", "text", "null",
     "folder of the sampling's files"},
};
const ForeignKey kOtherMetrics[] = {
    {"seqlen_reshape", "dictionary", "null", "more and shorter sequences"},
    {"vocabularyrarity", "dictionary", "null", "rare tokens"},
    {"seqlen_vocabularyrarity", "dictionary", "null", "length and rare tokens"},
};
const ForeignKey kTruncation[] = {
    {"difficulty_type", "text", "value", "values or percentiles"},
};
const ForeignKey kTruncationSettings[] = {
    {"index_to_sample_path", "text", "null", "file of the samples' order"},
    {"index_to_metric_path", "text", "null", "file of the samples' difficulty"},
    {"clustering_type", "text", "null", "how samples are grouped"},
};
const ForeignKey kOtherFeatures[] = {
    {"compression_training", "dictionary", "null", "pruning and quantization"},
    {"sparse_attention", "dictionary", "null", "pattern of sparse attention"},
    {"eigenvalue", "dictionary", "null", "eigenvalues for quantization"},
    {"hybrid_engine", "dictionary", "null", "generate while training"},
    {"tensor_parallel", "dictionary", "null",
     "automatic tensor parallelism; use model_parallel_size"},
};
const ForeignKey kOtherFeatures2[] = {
    {"deepspeed_extra_args", "dictionary", "null",
     "further keys of DeepSpeed, which count as if at top level"},
    {"nebula", "dictionary", "null", "checkpoints by a service"},
    {"pipeline", "dictionary", "null", "settings of PipelineModule"},
    {"vocabulary_size", "integer", "null", "size of the vocabulary, for checks"},
    {"sequence_parallel_size", "integer", "1", "ranks that share a sequence"},
};

const ForeignKeys kForeign[] = {
    {"Logs", Origin::deepspeed, "", Standing::no_meaning, "", kLogs},
    {"Communication", Origin::deepspeed, "", Standing::no_meaning,
     "gradients are averaged in fp32 or communication_data_type", kCommunication},
    {"Communication", Origin::deepspeed, "", Standing::not_available, "gradients are averaged",
     kCommunication2},
    {"Optimizers and data", Origin::deepspeed, "", Standing::no_meaning, "",
     kOptimizersAndData},
    {"Accumulation", Origin::deepspeed, "", Standing::not_available,
     "accumulation is always managed", kAccumulation},
    {"Precision", Origin::deepspeed, "fp16", Standing::no_meaning, "", kPrecisionSettings,
     Shown::never},
    {"Precision", Origin::deepspeed, "bf16", Standing::no_meaning, "bf16 needs no loss scale",
     kPrecision},
    {"Precision", Origin::deepspeed, "bf16", Standing::no_meaning, "", kPrecisionSettings2,
     Shown::never},
    {"Precision", Origin::deepspeed, "amp", Standing::not_available,
     "use precision: bfloat16 or fp16", kPrecision2},
    {"Precision", Origin::deepspeed, "amp", Standing::no_meaning, "", kPrecisionSettings3,
     Shown::never},
    {"Precision", Origin::deepspeed, "torch_autocast", Standing::not_available,
     "use precision: bfloat16 or fp16", kPrecision3},
    {"Precision", Origin::deepspeed, "torch_autocast", Standing::no_meaning, "",
     kPrecisionSettings4, Shown::never},
    {"Compilation", Origin::deepspeed, "compile", Standing::no_meaning, "", kCompilation,
     Shown::whole},
    {"Optimizers", Origin::deepspeed, "optimizer", Standing::no_meaning, "", kOptimizers},
    {"Optimizers", Origin::deepspeed, "optimizer.params", Standing::not_available,
     "this feature isn't available; leave it out", kOptimizers3},
    {"Optimizers", Origin::deepspeed, "optimizer.params", Standing::not_available,
     "use gradient_clipping", kOptimizers4},
    {"Optimizers", Origin::deepspeed, "optimizer.params", Standing::no_meaning, "",
     kOptimizersSettings, Shown::never},
    {"Profiler", Origin::deepspeed, "flops_profiler", Standing::no_meaning, "", kProfiler,
     Shown::whole},
    {"Monitors", Origin::deepspeed, "wandb", Standing::no_meaning, "", kMonitors, Shown::whole},
    {"Monitors", Origin::deepspeed, "comet", Standing::no_meaning, "", kMonitors2,
     Shown::whole},
    {"Monitors", Origin::deepspeed, "csv_monitor", Standing::no_meaning, "", kMonitors3,
     Shown::whole},
    {"Monitors", Origin::deepspeed, "comms_logger", Standing::no_meaning, "", kMonitors4,
     Shown::whole},
    {"Recomputation", Origin::deepspeed, "activation_checkpointing", Standing::no_meaning, "",
     kRecomputation},
    {"Checkpoints", Origin::deepspeed, "checkpoint", Standing::no_meaning, "", kCheckpoints},
    {"Checkpoints", Origin::deepspeed, "checkpoint", Standing::no_meaning,
     "any checkpoint loads on any mesh", kCheckpoints2},
    {"Asynchronous I/O", Origin::deepspeed, "aio", Standing::no_meaning, "", kAsynchronousIO,
     Shown::whole},
    {"Autotuning", Origin::deepspeed, "autotuning", Standing::not_available,
     "this feature isn't available; `trireme plan` compares layouts", kAutotuning},
    {"Autotuning", Origin::deepspeed, "autotuning", Standing::no_meaning, "",
     kAutotuningSettings, Shown::never},
    {"Elasticity", Origin::deepspeed, "elasticity", Standing::not_available,
     "a run resumes on any number of ranks; leave it out", kElasticity},
    {"Elasticity", Origin::deepspeed, "elasticity", Standing::no_meaning, "",
     kElasticitySettings, Shown::never},
    {"Curriculum", Origin::deepspeed, "curriculum_learning", Standing::not_available,
     "difficulty is the length of sequences here: use seqlen", kCurriculumMetrics},
    {"Curriculum", Origin::deepspeed, "", Standing::no_meaning,
     "settings of features that are off", kCurriculumSettings2, Shown::changed},
    {"Data efficiency", Origin::deepspeed, "data_efficiency", Standing::not_available,
     "this feature isn't available", kDataRouting},
    {"Data efficiency", Origin::deepspeed, "data_efficiency", Standing::no_meaning, "",
     kDataEfficiencySettings, Shown::never},
    {"Data efficiency", Origin::deepspeed,
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics",
     Standing::not_available, "use seqlen_truncate, which shortens samples", kOtherMetrics},
    {"Data efficiency", Origin::deepspeed,
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.seqlen_truncate",
     Standing::not_available, "a length is a value", kTruncation},
    {"Data efficiency", Origin::deepspeed,
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.seqlen_truncate",
     Standing::no_meaning, "", kTruncationSettings, Shown::never},
    {"Other features", Origin::deepspeed, "", Standing::not_available,
     "this feature isn't available", kOtherFeatures},
    {"Other features", Origin::deepspeed, "", Standing::no_meaning, "", kOtherFeatures2},
};

}  // namespace

std::span<const ForeignKeys> deepspeed_foreign() { return kForeign; }

}  // namespace trireme::deck
