// SPDX-License-Identifier: Apache-2.0
// Keys of DeepSpeed's `scheduler`, whose learning rates replace those of GPT-NeoX's keys.
#include "tables.hpp"

namespace trireme::deck {
namespace {

using Type = DeepSpeedSchedule::Type;

constexpr std::string_view kOtherSchedules = "use WarmupLR, WarmupDecayLR or WarmupCosineLR";
constexpr Choice kSchedulers[] = {
    {"none", code(Type::none)},
    {"WarmupLR", code(Type::constant)},
    {"WarmupDecayLR", code(Type::linear)},
    {"WarmupCosineLR", code(Type::cosine)},
    {"OneCycle", 0, kOtherSchedules},
    {"LRRangeTest", 0, kOtherSchedules},
};
constexpr Choice kWarmups[] = {
    {"log", code(DeepSpeedSchedule::Warmup::log)},
    {"linear", code(DeepSpeedSchedule::Warmup::linear)},
};

const Key kSchedulerKeys[] = {
    {"scheduler.type",
     "",
     [](D d) { return named(d.deck.schedule.deepspeed.type, kSchedulers); },
     "DeepSpeed's schedule, which replaces warmup, lr_decay_style and min_lr",
     {},
     Need::usual,
     Origin::deepspeed},
    {"scheduler.params.warmup_min_lr", "",
     [](D d) -> Field { return &d.deck.schedule.deepspeed.min_lr; },
     "learning rate before the warm-up of WarmupLR and WarmupDecayLR", kNotNegative,
     Need::usual, Origin::deepspeed},
    {"scheduler.params.warmup_max_lr", "",
     [](D d) -> Field { return &d.deck.schedule.deepspeed.max_lr; },
     "learning rate after the warm-up; null: the optimizer's with WarmupLR, 0.001 with "
     "WarmupDecayLR",
     kNotNegative, Need::open, Origin::deepspeed},
    {"scheduler.params.warmup_num_steps", "",
     [](D d) -> Field { return &d.deck.schedule.deepspeed.warmup_steps; },
     "steps of the warm-up; fewer than 2 count as 2", kNotNegative, Need::usual,
     Origin::deepspeed},
    {"scheduler.params.warmup_type",
     "",
     [](D d) { return named(d.deck.schedule.deepspeed.warmup, kWarmups); },
     "how the learning rate rises",
     {},
     Need::usual,
     Origin::deepspeed},
    {"scheduler.params.total_num_steps", "",
     [](D d) -> Field { return &d.deck.schedule.deepspeed.total_steps; },
     "steps until the learning rate has fallen; null: train_iters", kFromOne, Need::open,
     Origin::deepspeed},
    {"scheduler.params.warmup_min_ratio", "",
     [](D d) -> Field { return &d.deck.schedule.deepspeed.min_ratio; },
     "WarmupCosineLR: share of the learning rate before the warm-up", kFraction, Need::usual,
     Origin::deepspeed},
    {"scheduler.params.cos_min_ratio", "",
     [](D d) -> Field { return &d.deck.schedule.deepspeed.cos_min_ratio; },
     "WarmupCosineLR: share of the learning rate at the end", kFraction, Need::usual,
     Origin::deepspeed},
};

}  // namespace

std::span<const Key> scheduler_keys() { return kSchedulerKeys; }

}  // namespace trireme::deck
