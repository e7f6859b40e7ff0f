// SPDX-License-Identifier: Apache-2.0
// The keys that set something: names, meaning, range, and where the value goes. Their order is
// the order in which a deck is written out.
#include "deck_keys.hpp"

namespace trireme::deck {
namespace {

template <class E>
constexpr std::uint8_t code(E e) {
  return static_cast<std::uint8_t>(e);
}

template <class E>
Field named(E& value, std::span<const Choice> choices) {
  static_assert(sizeof(E) == 1);
  return Enumerated{reinterpret_cast<std::uint8_t*>(&value), choices};
}

constexpr Range kPositive{.low = 0, .above_low = true};
constexpr Range kNotNegative{.low = 0};
constexpr Range kFromOne{.low = 1};
constexpr Range kSize{.low = 1, .high = 1e9};
constexpr Range kFraction{.low = 0, .high = 1};
constexpr Range kBelowOne{.low = 0, .high = 1, .below_high = true};
constexpr Range kMillion{.low = 1, .high = 1e6};

constexpr Choice kNorms[] = {
    {"layernorm", code(Norm::layernorm)},
    {"rmsnorm", code(Norm::rmsnorm)},
    {"scalenorm", 0, "use layernorm or rmsnorm"},
    {"te_layernorm", 0, "it needs Transformer Engine; layernorm computes the same"},
    {"te_rmsnorm", 0, "it needs Transformer Engine; rmsnorm computes the same"},
};
constexpr std::string_view kOtherPositions = "use rotary, learned or none";
constexpr Choice kPositions[] = {
    {"learned", code(PositionEmbedding::learned)},
    {"rotary", code(PositionEmbedding::rotary)},
    {"none", code(PositionEmbedding::none)},
    {"sinusoidal", 0, kOtherPositions},
    {"rpe", 0, kOtherPositions},
    {"alibi", 0, kOtherPositions},
};
constexpr std::string_view kOtherActivations =
    "use gelu, relu, silu, or one of the gated swiglu, geglu, reglu";
constexpr Choice kActivations[] = {
    {"gelu", code(Activation::gelu)},     {"relu", code(Activation::relu)},
    {"silu", code(Activation::silu)},     {"swish", code(Activation::silu)},
    {"swiglu", code(Activation::swiglu)}, {"geglu", code(Activation::geglu)},
    {"reglu", code(Activation::reglu)},   {"softsign", 0, kOtherActivations},
    {"mish", 0, kOtherActivations},       {"bilinear", 0, kOtherActivations},
    {"glu", 0, kOtherActivations},
};
constexpr Choice kInits[] = {
    {"normal", code(InitMethod::normal)},
    {"scaled_normal", code(InitMethod::scaled_normal)},
    {"single_residual_scaled_normal", code(InitMethod::single_residual_scaled_normal)},
    {"small_init", code(InitMethod::small_init)},
    {"wang_init", code(InitMethod::wang_init)},
    {"xavier_uniform", code(InitMethod::xavier_uniform)},
    {"xavier_normal", code(InitMethod::xavier_normal)},
    {"orthogonal", code(InitMethod::orthogonal)},
    {"scaled_orthogonal", code(InitMethod::scaled_orthogonal)},
};
constexpr std::string_view kOtherOptimizers = "use AdamW or SGD";
constexpr Choice kOptimizers[] = {
    {"AdamW", code(OptimizerKind::adamw)},   {"Adam", code(OptimizerKind::adamw)},
    {"SGD", code(OptimizerKind::sgd)},       {"Lamb", 0, kOtherOptimizers},
    {"OneBitAdam", 0, kOtherOptimizers},     {"ZeroOneAdam", 0, kOtherOptimizers},
    {"OneBitLamb", 0, kOtherOptimizers},     {"cpu_adam", 0, kOtherOptimizers},
    {"cpu_torch_adam", 0, kOtherOptimizers}, {"sm3", 0, kOtherOptimizers},
    {"madgrad_wd", 0, kOtherOptimizers},     {"lion", 0, kOtherOptimizers},
};
constexpr Choice kDecays[] = {
    {"linear", code(DecayStyle::linear)},
    {"cosine", code(DecayStyle::cosine)},
    {"exponential", code(DecayStyle::exponential)},
    {"constant", code(DecayStyle::constant)},
};
constexpr Choice kSchedules[] = {
    {"1f1b", code(PipelineSchedule::one_f_one_b)},
    {"gpipe", code(PipelineSchedule::gpipe)},
};
constexpr Choice kDevices[] = {
    {"auto", code(DeckSettings::ComputeDevice::automatic)},
    {"cpu", code(DeckSettings::ComputeDevice::cpu)},
    {"cuda", 0, "this build computes on CPUs only; use cpu or auto"},
};
constexpr Choice kScales[] = {
    {"linear", code(DeckSettings::CheckpointScale::linear)},
    {"log", code(DeckSettings::CheckpointScale::log)},
};
constexpr Choice kPrecisions[] = {
    {"fp32", code(DeckSettings::Precision::fp32)},
    {"fp16", 0, "mixed precision isn't built yet; use fp32"},
    {"bfloat16", 0, "mixed precision isn't built yet; use fp32"},
};

using D = Draft&;

const Key kModelKeys[] = {
    {"num_layers", "", [](D d) -> Field { return &d.deck.model.num_layers; },
     "transformer layers", kSize, Need::required},
    {"hidden_size", "", [](D d) -> Field { return &d.deck.model.hidden_size; },
     "width of the residual stream", kSize, Need::required},
    {"num_attention_heads", "", [](D d) -> Field { return &d.deck.model.num_attention_heads; },
     "query heads", kSize, Need::required},
    {"num_kv_heads", "", [](D d) -> Field { return &d.deck.model.num_kv_heads; },
     "key and value heads; null: num_attention_heads", kSize, Need::open},
    {"seq_length", "", [](D d) -> Field { return &d.deck.model.seq_length; },
     "tokens in a sample", kSize, Need::required},
    {"max_position_embeddings", "",
     [](D d) -> Field { return &d.deck.model.max_position_embeddings; },
     "rows of a learned position embedding; null: seq_length", kSize, Need::open},
    {"vocab_size", "", [](D d) -> Field { return &d.deck.model.vocab_size; },
     "must agree with the data file; null: taken from there", kSize, Need::open},
    {"intermediate_size", "", [](D d) -> Field { return &d.deck.model.intermediate_size; },
     "up-projection width, gate included; null: 4 hidden_size", kSize, Need::open},
    {"expansion_factor", "", [](D d) -> Field { return &d.expansion_factor; },
     "intermediate_size as a multiple of hidden_size", kPositive, Need::input},
    {"mlp_multiple_of", "", [](D d) -> Field { return &d.mlp_multiple_of; },
     "rounds the mlp's inner width up to a multiple of it", kSize, Need::input},
    {"norm", "", [](D d) { return named(d.deck.model.norm, kNorms); }, "kind of norm"},
    {"layernorm_epsilon", "", [](D d) -> Field { return &d.layernorm_epsilon; },
     "epsilon of layernorm", kPositive},
    {"rms_norm_epsilon", "", [](D d) -> Field { return &d.rms_norm_epsilon; },
     "epsilon of rmsnorm", kPositive},
    {"pos_emb", "", [](D d) { return named(d.deck.model.pos_emb, kPositions); },
     "kind of position embedding"},
    {"rotary_pct",
     "",
     [](D d) -> Field { return &d.deck.model.rotary_pct; },
     "share of each head that is rotated",
     {.low = 0, .high = 1, .above_low = true}},
    {"rotary_emb_base", "", [](D d) -> Field { return &d.deck.model.rotary_emb_base; },
     "base of the rotary frequencies", kFromOne},
    {"activation", "", [](D d) { return named(d.deck.model.activation, kActivations); },
     "of the mlp; the last three are gated"},
    {"bias_gelu_fusion", "", [](D d) -> Field { return &d.bias_gelu_fusion; },
     "gelu by its tanh approximation"},
    {"gpt_j_residual", "", [](D d) -> Field { return &d.deck.model.gpt_j_residual; },
     "attention and mlp side by side"},
    {"gpt_j_tied", "", [](D d) -> Field { return &d.deck.model.gpt_j_tied; },
     "one norm for both of them"},
    {"no_weight_tying", "", [](D d) -> Field { return &d.deck.model.no_weight_tying; },
     "an output matrix of its own"},
    {"use_bias_in_norms", "", [](D d) -> Field { return &d.deck.model.use_bias_in_norms; },
     "biases of layernorm (rmsnorm has none)"},
    {"use_bias_in_attn_linear", "",
     [](D d) -> Field { return &d.deck.model.use_bias_in_attn_linear; },
     "biases of attention's matrices"},
    {"use_bias_in_mlp", "", [](D d) -> Field { return &d.deck.model.use_bias_in_mlp; },
     "biases of the mlp's matrices"},
    {"hidden_dropout", "", [](D d) -> Field { return &d.deck.model.hidden_dropout; },
     "after embedding, attention and mlp", kBelowOne},
    {"attention_dropout", "", [](D d) -> Field { return &d.deck.model.attention_dropout; },
     "of the attention's weights", kBelowOne},
    {"init_method", "", [](D d) { return named(d.deck.model.init_method, kInits); },
     "initial weights"},
    {"output_layer_init_method", "",
     [](D d) { return named(d.deck.model.output_layer_init_method, kInits); },
     "of the matrices that lead back into the residual stream"},
    {"init_method_std", "", [](D d) -> Field { return &d.deck.model.init_method_std; },
     "of the normal ones", kNotNegative},
};

const Key kMeshKeys[] = {
    {"pipe_parallel_size",
     "",
     [](D d) -> Field { return &d.deck.pipe_parallel_size; },
     "pipeline stages; 0 and 1: no pipeline",
     {.low = 0, .high = 1e6}},
    {"model_parallel_size", "", [](D d) -> Field { return &d.deck.model_parallel_size; },
     "ranks that share each layer (tensor parallelism)", kMillion},
    {"sequence_parallel", "", [](D d) -> Field { return &d.deck.sequence_parallel; },
     "they share the tokens of norms and dropout too"},
    {"pipe_partition_method", "", [](D d) -> Field { return &d.deck.pipe_partition_method; },
     "uniform, parameters, or type:REGEX: what the stages have alike"},
    {"virtual_pipeline_chunks", "",
     [](D d) -> Field { return &d.deck.virtual_pipeline_chunks; },
     "model chunks on a stage; above 1: interleaved 1F1B", kMillion},
    {"pipeline_schedule", "", [](D d) { return named(d.deck.pipeline_schedule, kSchedules); },
     "order of work"},
    {"device", "", [](D d) { return named(d.deck.device, kDevices); }, "where to compute"},
    {"precision", "", [](D d) { return named(d.deck.precision, kPrecisions); },
     "of weights and activations"},
    {"threads_per_rank",
     "",
     [](D d) -> Field { return &d.deck.threads_per_rank; },
     "0: this rank's share of the machine's cores",
     {.low = 0, .high = 4096}},
};

const Key kBatchKeys[] = {
    {"train_batch_size", "", [](D d) -> Field { return &d.deck.train_batch_size; },
     "samples in a step over all ranks; any one or two of these three give the rest", kSize,
     Need::open},
    {"train_micro_batch_size_per_gpu", "batch_size",
     [](D d) -> Field { return &d.deck.train_micro_batch_size_per_gpu; },
     "samples that go through a rank's layers at once", kMillion, Need::open},
    {"gradient_accumulation_steps", "gas",
     [](D d) -> Field { return &d.deck.gradient_accumulation_steps; },
     "micro-batches in a step", kMillion, Need::open},
};

const Key kOptimizerKeys[] = {
    {"optimizer.type", "optimizer_type",
     [](D d) { return named(d.deck.optimizer.kind, kOptimizers); },
     "Adam decays its weights as AdamW does"},
    {"optimizer.params.lr", "lr", [](D d) -> Field { return &d.deck.schedule.lr; },
     "highest learning rate", kNotNegative, Need::required},
    {"optimizer.params.betas", "", [](D d) -> Field { return &d.betas; },
     "of Adam's two moments", kBelowOne},
    {"optimizer.params.eps", "", [](D d) -> Field { return &d.deck.optimizer.epsilon; },
     "of Adam", kPositive},
    {"optimizer.params.momentum", "", [](D d) -> Field { return &d.deck.optimizer.momentum; },
     "of SGD", kBelowOne},
    {"weight_decay", "optimizer.params.weight_decay",
     [](D d) -> Field { return &d.deck.optimizer.weight_decay; },
     "decoupled with AdamW, added to the gradient with SGD; not of biases and "
     "norms",
     kNotNegative},
    {"gradient_clipping", "clip_grad",
     [](D d) -> Field { return &d.deck.optimizer.gradient_clipping; },
     "largest global norm of the gradient; 0: off", kNotNegative},
    {"zero_optimization.reduce_bucket_size", "zero_reduce_bucket_size",
     [](D d) -> Field { return &d.deck.optimizer.reduce_bucket_size; },
     "elements in one reduction of gradients", kFromOne},
    {"min_lr", "", [](D d) -> Field { return &d.deck.schedule.min_lr; }, "lowest learning rate",
     kNotNegative},
    {"warmup", "", [](D d) -> Field { return &d.deck.schedule.warmup; },
     "share of lr_decay_iters in which it rises", kFraction},
    {"lr_decay_style", "", [](D d) { return named(d.deck.schedule.lr_decay_style, kDecays); },
     "how it falls"},
    {"lr_decay_iters", "", [](D d) -> Field { return &d.deck.schedule.lr_decay_iters; },
     "iterations until it has fallen; null: train_iters", kFromOne, Need::open},
    {"lr_decay_fraction",
     "",
     [](D d) -> Field { return &d.lr_decay_fraction; },
     "lr_decay_iters as a share of train_iters",
     {.low = 0, .high = 1, .above_low = true},
     Need::input},
};

const Key kRunKeys[] = {
    {"train_iters", "", [](D d) -> Field { return &d.deck.train_iters; }, "optimizer steps",
     kNotNegative, Need::required},
    {"seed", "", [](D d) -> Field { return &d.deck.seed; },
     "of weights, dropout and the order of samples", kNotNegative},
    {"eval_interval", "", [](D d) -> Field { return &d.deck.eval_interval; },
     "iterations between evaluations; 0: never", kNotNegative},
    {"eval_iters", "", [](D d) -> Field { return &d.deck.eval_iters; },
     "batches in an evaluation", kNotNegative},
    {"log_interval", "", [](D d) -> Field { return &d.deck.log_interval; },
     "iterations between lines of the log", kFromOne},
};

const Key kCheckpointKeys[] = {
    {"save",
     "",
     [](D d) -> Field { return &d.deck.save; },
     "folder for checkpoints; null: none",
     {},
     Need::open},
    {"load",
     "",
     [](D d) -> Field { return &d.deck.load; },
     "folder to resume from; null: start afresh",
     {},
     Need::open},
    {"checkpoint_factor", "save_interval",
     [](D d) -> Field { return &d.deck.checkpoint_factor; },
     "iterations between checkpoints; null: at the end only", kFromOne, Need::open},
    {"checkpoint_scale", "", [](D d) { return named(d.deck.checkpoint_scale, kScales); },
     "saves at the multiples of checkpoint_factor, or at its powers"},
    {"extra_save_iters", "", [](D d) -> Field { return &d.deck.extra_save_iters; },
     "further iterations to save after", kFromOne, Need::open},
    {"keep_last_n_checkpoints", "",
     [](D d) -> Field { return &d.deck.keep_last_n_checkpoints; },
     "older ones are removed; null: all are kept", kFromOne, Need::open},
    {"exit_interval", "", [](D d) -> Field { return &d.deck.exit_interval; },
     "saves and ends at its multiples, to go on in another run; null: never", kNotNegative,
     Need::open},
    {"no_save_optim", "", [](D d) -> Field { return &d.deck.no_save_optim; },
     "saves the weights alone, without the optimizer's state"},
    {"finetune", "", [](D d) -> Field { return &d.deck.finetune; },
     "loads the weights alone and starts at iteration 0"},
    {"no_load_optim", "", [](D d) -> Field { return &d.deck.no_load_optim; },
     "loads no optimizer state"},
    {"no_load_rng", "", [](D d) -> Field { return &d.deck.no_load_rng; },
     "takes the deck's seed where the checkpoint has another"},
    {"override_lr_scheduler", "", [](D d) -> Field { return &d.deck.override_lr_scheduler; },
     "takes the deck's learning rates where the checkpoint has others"},
    {"use_checkpoint_lr_scheduler", "",
     [](D d) -> Field { return &d.deck.use_checkpoint_lr_scheduler; },
     "takes the checkpoint's learning rates where the deck has others"},
    {"checkpoint.async", "", [](D d) -> Field { return &d.deck.checkpoint_async; },
     "writes while training goes on, from a copy in memory"},
    {"checkpoint.writers_per_node",
     "",
     [](D d) -> Field { return &d.deck.checkpoint_writers_per_node; },
     "ranks of a node that write, also for the others; 0: each for itself",
     {.low = 0, .high = 1e6}},
    {"checkpoint.stop_when_full", "",
     [](D d) -> Field { return &d.deck.checkpoint_stop_when_full; },
     "ends the run where a checkpoint finds no space"},
    {"checkpoint.time_limit_margin", "",
     [](D d) -> Field { return &d.deck.checkpoint_time_margin; },
     "seconds before the batch job's time limit to save and end; null: by what steps and saves "
     "took",
     kNotNegative, Need::open},
};

const Key kDataKeys[] = {
    {"data_path",
     "",
     [](D d) -> Field { return &d.deck.data_path; },
     "one or more token files, cut into three by split",
     {},
     Need::open},
    {"split", "", [](D d) -> Field { return &d.deck.split; },
     "shares of train, valid and test"},
    {"train_data_paths",
     "",
     [](D d) -> Field { return &d.deck.train_data_paths; },
     "token files, in place of data_path",
     {},
     Need::open},
    {"valid_data_paths",
     "",
     [](D d) -> Field { return &d.deck.valid_data_paths; },
     "token files",
     {},
     Need::open},
    {"test_data_paths",
     "",
     [](D d) -> Field { return &d.deck.test_data_paths; },
     "token files",
     {},
     Need::open},
    {"train_data_weights", "", [](D d) -> Field { return &d.deck.train_data_weights; },
     "shares of the files; null: by size", kNotNegative, Need::open},
    {"valid_data_weights", "", [](D d) -> Field { return &d.deck.valid_data_weights; },
     "shares of the files; null: by size", kNotNegative, Need::open},
    {"test_data_weights", "", [](D d) -> Field { return &d.deck.test_data_weights; },
     "shares of the files; null: by size", kNotNegative, Need::open},
};

const Section kSections[] = {
    {"Model", kModelKeys}, {"Mesh and machine", kMeshKeys},
    {"Batch", kBatchKeys}, {"Optimizer and learning rate", kOptimizerKeys},
    {"Run", kRunKeys},     {"Checkpoints", kCheckpointKeys},
    {"Data", kDataKeys},
};

}  // namespace

std::span<const Section> key_sections() { return kSections; }

}  // namespace trireme::deck
