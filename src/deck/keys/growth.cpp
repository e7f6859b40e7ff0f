// SPDX-License-Identifier: Apache-2.0
// Keys of what changes while a run trains, and of the gradient noise scale.
#include "tables.hpp"

namespace trireme::deck {
namespace {

using Schedule = CurriculumConfig::Schedule;

constexpr std::string_view kOtherCurricula = "use fixed_linear, fixed_root or fixed_discrete";
constexpr Choice kCurriculumSchedules[] = {
    {"fixed_linear", code(Schedule::fixed_linear)},
    {"fixed_root", code(Schedule::fixed_root)},
    {"fixed_discrete", code(Schedule::fixed_discrete)},
    {"custom", 0, kOtherCurricula},
};

const Key kGrowthKeys[] = {
    {"curriculum_learning.enabled",
     "",
     [](D d) -> Field { return &d.deck.curriculum.enabled; },
     "begin with short sequences, the first tokens of each sample",
     {},
     Need::usual,
     Origin::deepspeed},
    {"data_efficiency.enabled",
     "",
     [](D d) -> Field { return &d.data_efficiency.enabled; },
     "with the next two, DeepSpeed's other words for curriculum_learning.enabled",
     {},
     Need::input,
     Origin::deepspeed},
    {"data_efficiency.data_sampling.enabled",
     "",
     [](D d) -> Field { return &d.data_efficiency.sampling; },
     "see data_efficiency.enabled",
     {},
     Need::input,
     Origin::deepspeed},
    {"data_efficiency.data_sampling.curriculum_learning.enabled",
     "",
     [](D d) -> Field { return &d.data_efficiency.curriculum; },
     "see data_efficiency.enabled",
     {},
     Need::input,
     Origin::deepspeed},
    {"curriculum_learning.min_difficulty",
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.seqlen_truncate."
     "min_difficulty",
     [](D d) -> Field { return &d.deck.curriculum.min_difficulty; },
     "tokens of the first sequences", kSize, Need::open, Origin::deepspeed},
    {"curriculum_learning.max_difficulty",
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.seqlen_truncate."
     "max_difficulty",
     [](D d) -> Field { return &d.deck.curriculum.max_difficulty; },
     "tokens of the last sequences, at most seq_length", kSize, Need::open, Origin::deepspeed},
    {"curriculum_learning.schedule_type",
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.seqlen_truncate."
     "schedule_type",
     [](D d) { return named(d.deck.curriculum.schedule, kCurriculumSchedules); },
     "how sequences grow",
     {},
     Need::usual,
     Origin::deepspeed},
    {"curriculum_learning.schedule_config.total_curriculum_step",
     "curriculum_learning.total_curriculum_step "
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.seqlen_truncate."
     "schedule_config.total_curriculum_step",
     [](D d) -> Field { return &d.deck.curriculum.total_step; },
     "fixed_linear and fixed_root: iterations until max_difficulty", kFromOne, Need::open,
     Origin::deepspeed},
    {"curriculum_learning.schedule_config.difficulty_step",
     "curriculum_learning.difficulty_step "
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.seqlen_truncate."
     "schedule_config.difficulty_step",
     [](D d) -> Field { return &d.deck.curriculum.difficulty_step; },
     "fixed_linear and fixed_root: lengths are rounded down to multiples of this", kSize,
     Need::open, Origin::deepspeed},
    {"curriculum_learning.schedule_config.root_degree",
     "curriculum_learning.root_degree "
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.seqlen_truncate."
     "schedule_config.root_degree",
     [](D d) -> Field { return &d.deck.curriculum.root_degree; },
     "fixed_root: lengths grow with this root of the iteration", kMillion, Need::open,
     Origin::deepspeed},
    {"curriculum_learning.schedule_config.difficulty",
     "curriculum_learning.difficulty "
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.seqlen_truncate."
     "schedule_config.difficulty",
     [](D d) -> Field { return &d.deck.curriculum.difficulty; }, "fixed_discrete: the lengths",
     kSize, Need::open, Origin::deepspeed},
    {"curriculum_learning.schedule_config.max_step",
     "curriculum_learning.max_step "
     "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics.seqlen_truncate."
     "schedule_config.max_step",
     [](D d) -> Field { return &d.deck.curriculum.max_step; },
     "fixed_discrete: the last iteration of each length but the last", kFromOne, Need::open,
     Origin::deepspeed},
    {"progressive_layer_drop.enabled",
     "",
     [](D d) -> Field { return &d.deck.layer_drop.enabled; },
     "let micro-batches skip layers at random, later layers more often",
     {},
     Need::usual,
     Origin::deepspeed},
    {"progressive_layer_drop.theta",
     "",
     [](D d) -> Field { return &d.deck.layer_drop.theta; },
     "share of micro-batches that the last layer processes in the end",
     {.low = 0, .high = 1, .above_low = true},
     Need::usual,
     Origin::deepspeed},
    {"progressive_layer_drop.gamma", "", [](D d) -> Field { return &d.deck.layer_drop.gamma; },
     "how fast this share falls from 1: by exp(-gamma t)", kNotNegative, Need::usual,
     Origin::deepspeed},
    {"log_gradient_noise_scale",
     "",
     [](D d) -> Field { return &d.deck.noise_scale.enabled; },
     "estimate the gradient noise scale, in samples",
     {},
     Need::usual},
    {"gradient_noise_scale_n_batches",
     "",
     [](D d) -> Field { return &d.deck.noise_scale.n_batches; },
     "steps whose mean gradient stands for a large batch",
     {.low = 2, .high = 1e6}},
    {"gradient_noise_scale_cpu_offload", "",
     [](D d) -> Field { return &d.deck.noise_scale.cpu_offload; },
     "keep this mean in host memory; CPUs alone"},
};

}  // namespace

std::span<const Key> growth_keys() { return kGrowthKeys; }

}  // namespace trireme::deck
