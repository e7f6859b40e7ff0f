// SPDX-License-Identifier: Apache-2.0
// DeepSpeed's schedules, and the defaults of a DeepSpeed file that stands alone.
#include <algorithm>

#include "trireme/optim/schedule.hpp"

#include "fold.hpp"
#include "schema.hpp"

namespace trireme::deck {
namespace {

using Type = DeepSpeedSchedule::Type;

/// Settings of the other schedule, or of none, have no effect. A written deck holds all
/// settings: values that resolve() or the default gives need no warning.
void warn_of_idle_schedule(const Settings& settings, Draft draft, Deck& deck) {
  Draft usual;
  const bool none = deck.schedule.deepspeed.type == Type::none;
  std::vector<std::string> idle;
  for (const auto& [path, setting] : settings) {
    if (setting.value.kind == Value::Kind::null) continue;
    const bool other = path == "warmup" || path == "lr_decay_style" ||
                       path == "lr_decay_iters" || path == "lr_decay_fraction" ||
                       path == "min_lr";
    if (!(none ? path.starts_with("scheduler.params.") : other)) continue;
    if (path == "lr_decay_iters" && deck.schedule.lr_decay_iters == deck.train_iters) continue;
    const Key& key = *Schema::instance().find(path)->key;
    if (field_text(key, draft) != field_text(key, usual)) idle.push_back(setting.spelled);
  }
  if (idle.empty()) return;
  deck.warnings.push_back(
      fmt::format("without effect in this deck: {} ({})", fmt::join(idle, ", "),
                  none ? "scheduler.type is none" : "scheduler sets the learning rate"));
}

}  // namespace

void fold_schedule(const std::set<std::string>& automatic, const Settings& settings,
                   const Draft& draft, Deck& deck, Faults& faults) {
  ScheduleConfig& rate = deck.schedule;
  DeepSpeedSchedule& s = rate.deepspeed;
  warn_of_idle_schedule(settings, draft, deck);
  if (s.type == Type::none) {
    s = {};
    return;
  }
  const std::string max_lr = "scheduler.params.warmup_max_lr";
  const std::string steps = "scheduler.params.warmup_num_steps";
  const auto is_given = [&](const std::string& p) { return given(settings, p) != nullptr; };
  if (s.max_lr == 0 && !is_given(max_lr)) {
    const bool of_optimizer = s.type == Type::constant || automatic.contains(max_lr);
    s.max_lr = of_optimizer ? rate.lr : 0.001;
  }
  if (s.total_steps == 0) s.total_steps = deck.train_iters;
  if (automatic.contains(steps) && !is_given(steps) && is_given("warmup")) {
    s.warmup_steps = warmup_iters(rate);
  }
  const bool unused =
      s.type != Type::cosine && is_given("optimizer.params.lr") && s.max_lr != rate.lr;
  if (unused) {
    deck.notes.push_back(fmt::format(
        "scheduler sets the learning rate: it rises to warmup_max_lr {}, and lr {} isn't used",
        s.max_lr, rate.lr));
  }
  if (s.type != Type::cosine && s.min_lr > s.max_lr) {
    faults.add(Faults::Kind::contradiction,
               fmt::format("scheduler.params.warmup_min_lr {} is above warmup_max_lr {}",
                           s.min_lr, s.max_lr));
  }
  if (draft.memory.fp16 || deck.types.compute == DType::f16) {
    deck.warnings.emplace_back(
        "scheduler: a step that overflows counts for the learning rate here, and doesn't in "
        "DeepSpeed");
  }
}

double highest_rate(const ScheduleConfig& schedule) {
  const DeepSpeedSchedule& s = schedule.deepspeed;
  const bool own = s.type == Type::constant || s.type == Type::linear;
  return own ? s.max_lr : schedule.lr;
}

void use_deepspeed_defaults(Draft& draft) {
  draft.deck.schedule.lr = 0.001;
  draft.deck.schedule.warmup = 0;
  draft.deck.schedule.lr_decay_style = DecayStyle::constant;
  draft.deck.optimizer.weight_decay = 0;
  draft.deck.optimizer.gradient_clipping = 0;
}

void note_deepspeed_defaults(const std::string& file, Deck& deck) {
  const bool scheduled = deck.schedule.deepspeed.type != Type::none;
  std::vector<std::string> said;
  const auto say = [&](const std::string& path, const std::string& value) {
    if (deck.sources.contains(path)) return;
    deck.sources[path] = "DeepSpeed's default";
    said.push_back(fmt::format("{} {}", path, value));
  };
  say("gradient_clipping", "0 (none)");
  say("weight_decay", "0 (none)");
  say("optimizer.params.lr", "0.001");
  if (!scheduled) {
    say("lr_decay_style", "constant");
    say("warmup", "0 (none)");
  }
  say("optimizer.params.bias_correction", "true");
  if (said.empty()) return;
  deck.notes.push_back(
      fmt::format("{} alone speaks of the optimizer, so DeepSpeed's defaults hold: {}", file,
                  fmt::join(said, ", ")));
}

}  // namespace trireme::deck
