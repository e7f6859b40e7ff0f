// SPDX-License-Identifier: Apache-2.0
// Keys of DeepSpeed's `scheduler`, whose learning rates replace those of GPT-NeoX's keys.
#include "tables.hpp"

namespace trireme::deck {
namespace {

using Type = DeepSpeedSchedule::Type;

constexpr Choice kSchedulers[] = {
    {"none", code(Type::none)},
    {"WarmupLR", code(Type::constant)},
    {"WarmupDecayLR", code(Type::linear)},
    {"WarmupCosineLR", code(Type::cosine)},
    {"OneCycle", code(Type::one_cycle)},
    {"LRRangeTest", code(Type::range_test)},
};
constexpr Choice kWarmups[] = {
    {"log", code(DeepSpeedSchedule::Warmup::log)},
    {"linear", code(DeepSpeedSchedule::Warmup::linear)},
};

constexpr Range kOrFirst{.low = -1};

OneCycleConfig& cycle(D d) { return d.deck.schedule.deepspeed.one_cycle; }
RangeTestConfig& range_test(D d) { return d.deck.schedule.deepspeed.range_test; }

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
    {"scheduler.params.cycle_min_lr", "", [](D d) -> Field { return &cycle(d).min_lr; },
     "OneCycle: learning rate at both ends of the cycle", kNotNegative, Need::open,
     Origin::deepspeed},
    {"scheduler.params.cycle_max_lr", "", [](D d) -> Field { return &cycle(d).max_lr; },
     "OneCycle: highest learning rate", kNotNegative, Need::open, Origin::deepspeed},
    {"scheduler.params.decay_lr_rate", "", [](D d) -> Field { return &cycle(d).decay_lr_rate; },
     "OneCycle: after the cycle, cycle_min_lr is divided by 1 + decay_lr_rate times the "
     "intervals so far",
     kNotNegative, Need::usual, Origin::deepspeed},
    {"scheduler.params.cycle_first_step_size", "",
     [](D d) -> Field { return &cycle(d).first_step_size; }, "OneCycle: steps of the rise",
     kFromOne, Need::usual, Origin::deepspeed},
    {"scheduler.params.cycle_second_step_size", "",
     [](D d) -> Field { return &cycle(d).second_step_size; },
     "OneCycle: steps of the fall; -1: as many as of the rise", kOrFirst, Need::usual,
     Origin::deepspeed},
    {"scheduler.params.cycle_first_stair_count", "",
     [](D d) -> Field { return &cycle(d).first_stair_count; },
     "OneCycle: stairs of the rise; 0: a line", kNotNegative, Need::usual, Origin::deepspeed},
    {"scheduler.params.cycle_second_stair_count", "",
     [](D d) -> Field { return &cycle(d).second_stair_count; },
     "OneCycle: stairs of the fall; -1: as many as of the rise", kOrFirst, Need::usual,
     Origin::deepspeed},
    {"scheduler.params.decay_step_size", "",
     [](D d) -> Field { return &cycle(d).decay_step_size; },
     "OneCycle: steps of an interval after the cycle; 0: no decay", kNotNegative, Need::usual,
     Origin::deepspeed},
    {"scheduler.params.cycle_momentum",
     "",
     [](D d) -> Field { return &cycle(d).cycle_momentum; },
     "OneCycle: the first of betas falls while the learning rate rises, and the second is 0.99",
     {},
     Need::usual,
     Origin::deepspeed},
    {"scheduler.params.cycle_min_mom", "", [](D d) -> Field { return &cycle(d).min_mom; },
     "OneCycle: the first of betas at the highest learning rate, and in the first step",
     kBelowOne, Need::usual, Origin::deepspeed},
    {"scheduler.params.cycle_max_mom", "", [](D d) -> Field { return &cycle(d).max_mom; },
     "OneCycle: the first of betas at the lowest learning rate", kBelowOne, Need::usual,
     Origin::deepspeed},
    {"scheduler.params.decay_mom_rate",
     "",
     [](D d) -> Field { return &cycle(d).decay_mom_rate; },
     "OneCycle: after the cycle, cycle_max_mom is multiplied by 1 + decay_mom_rate times the "
     "intervals so far",
     {},
     Need::usual,
     Origin::deepspeed},
    {"scheduler.params.lr_range_test_min_lr", "",
     [](D d) -> Field { return &range_test(d).min_lr; }, "LRRangeTest: the first learning rate",
     kPositive, Need::usual, Origin::deepspeed},
    {"scheduler.params.lr_range_test_step_size", "",
     [](D d) -> Field { return &range_test(d).step_size; },
     "LRRangeTest: steps in which it grows by lr_range_test_step_rate times its first value",
     kFromOne, Need::usual, Origin::deepspeed},
    {"scheduler.params.lr_range_test_step_rate", "",
     [](D d) -> Field { return &range_test(d).step_rate; },
     "LRRangeTest: see lr_range_test_step_size", kNotNegative, Need::usual, Origin::deepspeed},
    {"scheduler.params.lr_range_test_staircase",
     "",
     [](D d) -> Field { return &range_test(d).staircase; },
     "LRRangeTest: grow once in lr_range_test_step_size steps, and not in each",
     {},
     Need::usual,
     Origin::deepspeed},
};

}  // namespace

std::span<const Key> scheduler_keys() { return kSchedulerKeys; }

}  // namespace trireme::deck
