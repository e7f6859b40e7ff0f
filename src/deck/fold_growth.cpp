// SPDX-License-Identifier: Apache-2.0
// What changes while a run trains: both spellings of the curriculum, and checks.
#include <algorithm>
#include <functional>

#include "fold.hpp"

namespace trireme::deck {
namespace {

using Kind = Faults::Kind;
using Schedule = CurriculumConfig::Schedule;

constexpr std::string_view kSampling = "data_efficiency.data_sampling";

/// Settings of what is off have no effect.
void warn_of_idle_growth(const Settings& settings, Deck& deck) {
  std::vector<std::string> idle;
  const auto note = [&](bool idles, std::string_view start) {
    if (!idles) return;
    for (const auto& [path, setting] : settings) {
      if (!path.starts_with(start) || path.ends_with(".enabled")) continue;
      if (setting.value.kind != Value::Kind::null) idle.push_back(setting.spelled);
    }
  };
  const bool drops = deck.layer_drop.enabled || deck.layer_drop == LayerDropConfig{};
  const bool estimates = deck.noise_scale.enabled || deck.noise_scale == NoiseScaleConfig{};
  note(!drops, "progressive_layer_drop.");
  note(!estimates, "gradient_noise_scale_");
  const CurriculumConfig& c = deck.curriculum;
  note(!c.enabled && c != CurriculumConfig{}, "curriculum_learning.");
  if (!idle.empty()) {
    deck.warnings.push_back(fmt::format("without effect in this deck: {} (the feature is off)",
                                        fmt::join(idle, ", ")));
  }
  if (!c.enabled) return;
  idle.clear();
  const bool discrete = c.schedule == Schedule::fixed_discrete;
  const auto note_key = [&](bool idles, const std::string& name) {
    const Setting* s = given(settings, "curriculum_learning.schedule_config." + name);
    if (idles && s != nullptr) idle.push_back(s->spelled);
  };
  note_key(c.schedule != Schedule::fixed_root, "root_degree");
  note_key(discrete, "total_curriculum_step");
  note_key(discrete, "difficulty_step");
  note_key(!discrete, "difficulty");
  note_key(!discrete, "max_step");
  if (idle.empty()) return;
  deck.warnings.push_back(
      fmt::format("without effect in this deck: {} (another schedule_type uses it)",
                  fmt::join(idle, ", ")));
}

}  // namespace

void fold_growth(const Settings& settings, const Draft& draft, Deck& deck, Faults& faults) {
  const DataEfficiencyWords& words = draft.data_efficiency;
  CurriculumConfig& c = deck.curriculum;
  c.enabled = c.enabled || (words.enabled && words.sampling && words.curriculum);
  warn_of_idle_growth(settings, deck);
  if (words.curriculum && !(words.enabled && words.sampling)) {
    deck.warnings.push_back(fmt::format(
        "{0}.curriculum_learning has an effect with data_efficiency.enabled and {0}.enabled "
        "only",
        kSampling));
  }
  if (!c.enabled) return;
  const auto first = settings.lower_bound("curriculum_learning.");
  const Place place = first == settings.end() ? Place{} : first->second.place;
  const auto need = [&](bool there, std::string_view key) {
    if (there) return;
    faults.add(Kind::missing, place, fmt::format("curriculum_learning needs {}", key));
  };
  need(c.min_difficulty > 0, "min_difficulty, the tokens of the first sequences");
  need(c.max_difficulty > 0, "max_difficulty, the tokens of the last sequences");
  if (c.schedule == Schedule::fixed_discrete) {
    need(!c.difficulty.empty(), "schedule_config.difficulty, the lengths of sequences");
    const bool rises =
        std::ranges::adjacent_find(c.max_step, std::greater_equal()) == c.max_step.end();
    if (c.difficulty.empty() || (c.max_step.size() + 1 == c.difficulty.size() && rises)) {
      return;
    }
    faults.add(Kind::contradiction, place,
               fmt::format("curriculum_learning.schedule_config.max_step must have one rising "
                           "number for each difficulty but the last: there are {} for {}",
                           c.max_step.size(), c.difficulty.size()));
    return;
  }
  need(c.total_step > 0, "schedule_config.total_curriculum_step, the iterations of the rise");
  need(c.difficulty_step > 0, "schedule_config.difficulty_step, such as 8");
  if (c.schedule == Schedule::fixed_root) {
    need(c.root_degree > 0, "schedule_config.root_degree");
  }
  if (c.min_difficulty > c.max_difficulty) {
    faults.add(Kind::contradiction, place,
               fmt::format("curriculum_learning.min_difficulty {} is above max_difficulty {}",
                           c.min_difficulty, c.max_difficulty));
  }
}

void check_growth(Deck& deck) {
  const BatchRamp ramp = batch_ramp(deck);
  if (deck.schedule.lr_decay_iters == 0) {
    const std::int64_t batch = deck.train_batch_size;
    deck.schedule.lr_decay_iters = goes_by_samples(deck)
                                       ? (ramp.advance(0, deck.train_iters) + batch - 1) / batch
                                       : deck.train_iters;
  }
  TRM_REQUIRE(!deck.noise_scale.cpu_offload || deck.device != Deck::ComputeDevice::cuda,
              "gradient_noise_scale_cpu_offload: true is not available on GPUs; leave it out");
  if (!deck.sequence_parallel) return;
  const std::int64_t tp = deck.model_parallel_size;
  const std::int64_t micro = deck.train_micro_batch_size_per_gpu;
  for (const std::int64_t length : sharded_lengths(deck.curriculum, deck.model.seq_length)) {
    TRM_REQUIRE(length * micro % tp == 0,
                "sequence_parallel with curriculum_learning: sequences of {} tokens × "
                "train_micro_batch_size_per_gpu {} are not divisible by model_parallel_size {}",
                length, micro, tp);
  }
}

}  // namespace trireme::deck
