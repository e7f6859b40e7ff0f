// SPDX-License-Identifier: Apache-2.0
// Keys of precision and of recomputation.
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
     "of weights and activations"},
    {"fp16.enabled",
     "",
     [](D d) -> Field { return &d.memory.fp16; },
     "the same as precision: fp16",
     {},
     Need::input},
    {"fp16.type",
     "",
     [](D d) { return named(d.memory.fp16_type, kHalfTypes); },
     "bfloat16: GPT-NeoX's older words for precision: bfloat16",
     {},
     Need::input},
    {"fp16.loss_scale",
     "loss_scale",
     [](D d) -> Field { return &d.deck.loss_scale.fixed; },
     "0: moves by itself, and what follows says how",
     {.low = 0, .high = 1e38}},
    {"fp16.initial_scale_power",
     "",
     [](D d) -> Field { return &d.deck.loss_scale.initial_power; },
     "it starts at 2 to this power",
     {.low = 0, .high = 126}},
    {"fp16.loss_scale_window", "loss_scale_window",
     [](D d) -> Field { return &d.deck.loss_scale.window; },
     "steps without overflow before it doubles", kFromOne},
    {"fp16.hysteresis", "hysteresis",
     [](D d) -> Field { return &d.deck.loss_scale.hysteresis; }, "overflows before it halves",
     kFromOne},
    {"fp16.consecutive_hysteresis", "",
     [](D d) -> Field { return &d.deck.loss_scale.consecutive_hysteresis; },
     "these are counted anew after each step without overflow"},
    {"fp16.min_loss_scale",
     "min_scale",
     [](D d) -> Field { return &d.deck.loss_scale.min; },
     "an overflow there ends the run",
     {.low = 0, .high = 1e38, .above_low = true}},
    {"fp16.fp16_master_weights_and_grads", "",
     [](D d) -> Field { return &d.memory.fp16_master; },
     "the weights that are updated, and gradients, in fp16"},
    {"dynamic_loss_scale",
     "",
     [](D d) -> Field { return &d.memory.dynamic_loss_scale; },
     "must agree with fp16.loss_scale",
     {},
     Need::input},
    {"bf16.enabled",
     "",
     [](D d) -> Field { return &d.memory.bf16; },
     "the same as precision: bfloat16",
     {},
     Need::input},
    {"bf16.bf16_master_weights_and_grads", "",
     [](D d) -> Field { return &d.memory.bf16_master; },
     "the weights that are updated, and gradients, in bf16"},
    {"bf16.bf16_optimizer_states", "", [](D d) -> Field { return &d.memory.bf16_states; },
     "the optimizer's moments in bf16; needs bf16_master_weights_and_grads"},
    {"data_types.grad_accum_dtype", "", [](D d) { return named(d.memory.gradient, kTypes); },
     "in which micro-batches' gradients add up"},
    {"communication_data_type", "", [](D d) { return named(d.memory.communication, kTypes); },
     "in which gradients travel between data-parallel ranks; with precision fp16 the default "
     "is "
     "fp16"},
    {"fp32_allreduce",
     "",
     [](D d) -> Field { return &d.memory.fp32_allreduce; },
     "the same as communication_data_type: fp32",
     {},
     Need::input},
};

const Key kRecomputeKeys[] = {
    {"checkpoint_activations", "",
     [](D d) -> Field { return &d.memory.checkpoint_activations; },
     "activations of the layers are computed again in backward instead of being kept"},
    {"recompute_granularity", "",
     [](D d) { return named(d.memory.granularity, kGranularities); },
     "of whole layers, or (selective) of attention up to its output projection"},
    {"checkpoint_num_layers", "", [](D d) -> Field { return &d.deck.recompute.num_layers; },
     "layers in a group, of which only the input is kept", kSize},
    {"partition_activations", "activation_checkpointing.partition_activations",
     [](D d) -> Field { return &d.deck.recompute.partition; },
     "ranks that share a layer share its input too"},
    {"checkpoint_in_cpu", "activation_checkpointing.cpu_checkpointing",
     [](D d) -> Field { return &d.deck.recompute.in_host_memory; },
     "inputs wait in the host's memory"},
};

}  // namespace

std::span<const Key> precision_keys() { return kPrecisionKeys; }
std::span<const Key> recompute_keys() { return kRecomputeKeys; }

}  // namespace trireme::deck
