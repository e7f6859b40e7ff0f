// SPDX-License-Identifier: Apache-2.0
// Keys of precision and of activation checkpointing.
#include "tables.hpp"

namespace trireme::deck {
namespace {

constexpr Choice kPrecisions[] = {
    {"fp32", code(DType::f32)},
    {"fp16", code(DType::f16)},
    {"bfloat16", code(DType::bf16)},
    {"bf16", code(DType::bf16)},
};
constexpr Choice kHalfTypes[] = {
    {"fp16", code(DType::f16)},
    {"bfloat16", code(DType::bf16)},
    {"bf16", code(DType::bf16)},
};
constexpr Choice kTypes[] = {
    {"fp32", code(DType::f32)},
    {"fp16", code(DType::f16)},
    {"bf16", code(DType::bf16)},
    {"bfloat16", code(DType::bf16)},
};
constexpr Choice kGranularities[] = {
    {"full", code(RecomputeConfig::Kind::full)},
    {"selective", code(RecomputeConfig::Kind::selective)},
};

const Key kPrecisionKeys[] = {
    {"precision", "", [](D d) { return named(d.memory.precision, kPrecisions); },
     "type of weights and activations"},
    {"fp16.enabled",
     "",
     [](D d) -> Field { return &d.memory.fp16; },
     "equivalent to precision: fp16",
     {},
     Need::input},
    {"fp16.type",
     "",
     [](D d) { return named(d.memory.fp16_type, kHalfTypes); },
     "bfloat16 is GPT-NeoX's older way to set precision: bfloat16",
     {},
     Need::input},
    {"fp16.loss_scale",
     "loss_scale",
     [](D d) -> Field { return &d.deck.loss_scale.fixed; },
     "fixed loss scale; 0: the scale adapts to overflows",
     {.low = 0, .high = 1e38}},
    {"fp16.initial_scale_power",
     "",
     [](D d) -> Field { return &d.deck.loss_scale.initial_power; },
     "the first loss scale, as a power of 2",
     {.low = 0, .high = 126}},
    {"fp16.loss_scale_window", "loss_scale_window",
     [](D d) -> Field { return &d.deck.loss_scale.window; },
     "steps without overflow before the loss scale doubles", kFromOne},
    {"fp16.hysteresis", "hysteresis",
     [](D d) -> Field { return &d.deck.loss_scale.hysteresis; },
     "overflows before the loss scale halves", kFromOne},
    {"fp16.consecutive_hysteresis", "",
     [](D d) -> Field { return &d.deck.loss_scale.consecutive_hysteresis; },
     "start counting overflows again after each step without overflow"},
    {"fp16.min_loss_scale",
     "min_scale",
     [](D d) -> Field { return &d.deck.loss_scale.min; },
     "lowest loss scale; an overflow at this scale ends the run",
     {.low = 0, .high = 1e38, .above_low = true}},
    {"fp16.fp16_master_weights_and_grads", "",
     [](D d) -> Field { return &d.memory.fp16_master; },
     "keep master weights and gradients in fp16"},
    {"max_skipped_steps", "", [](D d) -> Field { return &d.deck.loss_scale.most_skips; },
     "steps in a row that may be skipped because gradients overflow; so many end the run",
     kFromOne},
    {"dynamic_loss_scale",
     "",
     [](D d) -> Field { return &d.memory.dynamic_loss_scale; },
     "must agree with fp16.loss_scale",
     {},
     Need::input},
    {"bf16.enabled",
     "",
     [](D d) -> Field { return &d.memory.bf16; },
     "equivalent to precision: bfloat16",
     {},
     Need::input},
    {"bf16.bf16_master_weights_and_grads", "",
     [](D d) -> Field { return &d.memory.bf16_master; },
     "keep master weights and gradients in bf16"},
    {"bf16.bf16_optimizer_states", "", [](D d) -> Field { return &d.memory.bf16_states; },
     "keep the optimizer's moments in bf16; requires bf16_master_weights_and_grads"},
    {"data_types.grad_accum_dtype", "", [](D d) { return named(d.memory.gradient, kTypes); },
     "type in which gradients of micro-batches are summed"},
    {"communication_data_type", "", [](D d) { return named(d.memory.communication, kTypes); },
     "type in which data-parallel ranks reduce gradients; the default with precision: fp16 is "
     "fp16"},
    {"fp32_allreduce",
     "",
     [](D d) -> Field { return &d.memory.fp32_allreduce; },
     "equivalent to communication_data_type: fp32",
     {},
     Need::input},
};

const Key kRecomputeKeys[] = {
    {"checkpoint_activations", "",
     [](D d) -> Field { return &d.memory.checkpoint_activations; },
     "recompute the layers' activations in backward instead of keeping them"},
    {"recompute_granularity", "",
     [](D d) { return named(d.memory.granularity, kGranularities); },
     "recompute whole layers (full), or attention without its output projection (selective)"},
    {"checkpoint_num_layers", "", [](D d) -> Field { return &d.deck.recompute.num_layers; },
     "layers whose activations are recomputed from one kept input", kSize},
    {"partition_activations", "activation_checkpointing.partition_activations",
     [](D d) -> Field { return &d.deck.recompute.partition; },
     "shard kept inputs over the ranks that share a layer"},
    {"checkpoint_in_cpu", "activation_checkpointing.cpu_checkpointing",
     [](D d) -> Field { return &d.deck.recompute.in_host_memory; },
     "keep these inputs in host memory"},
};

}  // namespace

std::span<const Key> precision_keys() { return kPrecisionKeys; }
std::span<const Key> recompute_keys() { return kRecomputeKeys; }

}  // namespace trireme::deck
