// SPDX-License-Identifier: Apache-2.0
// DeepSpeed's schedules, and the defaults of a DeepSpeed file that stands alone.
#include <algorithm>

#include "trireme/optim/optimizer_table.hpp"
#include "trireme/optim/schedule.hpp"

#include "fold.hpp"
#include "schema.hpp"

namespace trireme::deck {
namespace {

using Type = DeepSpeedSchedule::Type;

constexpr std::string_view kParams = "scheduler.params.";

bool is_of_annealing(std::string_view path) {
  return path == "warmup" || path == "lr_decay_style" || path == "lr_decay_iters" ||
         path == "lr_decay_fraction" || path == "lr_decay_samples" ||
         path == "lr_warmup_samples" || path == "min_lr";
}

/// Settings of the other schedule, or of none, have no effect. A written deck holds all
/// settings: values that resolve() or the default gives need no warning.
void warn_of_idle_schedule(const Settings& settings, Draft draft, Deck& deck) {
  Draft usual;
  const Type type = deck.schedule.deepspeed.type;
  std::vector<std::string> idle;
  std::vector<std::string> of_others;
  for (const auto& [path, setting] : settings) {
    if (setting.value.kind == Value::Kind::null) continue;
    const bool param = path.starts_with(kParams);
    const bool unread = param && !reads_key(type, path.substr(kParams.size()));
    if (!unread && (type == Type::none || !is_of_annealing(path))) continue;
    if (path == "lr_decay_iters" && deck.schedule.lr_decay_iters == deck.train_iters) continue;
    const Key& key = *Schema::instance().find(path)->key;
    if (field_text(key, draft) == field_text(key, usual)) continue;
    (unread && type != Type::none ? of_others : idle).push_back(setting.spelled);
  }
  const auto warn = [&](const std::vector<std::string>& names, std::string_view why) {
    if (names.empty()) return;
    deck.warnings.push_back(
        fmt::format("without effect in this deck: {} ({})", fmt::join(names, ", "), why));
  };
  warn(idle,
       type == Type::none ? "scheduler.type is none" : "scheduler sets the learning rate");
  warn(of_others, "another scheduler.type uses it");
}

/// Schedules that differ in nothing that counts are equal.
void forget_unread(DeepSpeedSchedule& s) {
  const DeepSpeedSchedule all = s;
  s = {};
  s.type = all.type;
  if (s.type == Type::one_cycle) s.one_cycle = all.one_cycle;
  if (s.type == Type::range_test) s.range_test = all.range_test;
  if (s.type == Type::one_cycle || s.type == Type::range_test) return;
  s.warmup_steps = all.warmup_steps;
  s.warmup = all.warmup;
  if (s.type != Type::constant) s.total_steps = all.total_steps;
  if (s.type == Type::cosine) {
    s.min_ratio = all.min_ratio;
    s.cos_min_ratio = all.cos_min_ratio;
  } else {
    s.min_lr = all.min_lr;
    s.max_lr = all.max_lr;
  }
}

/// The optimizers whose momentum DeepSpeed's OneCycle cycles are those that have betas.
bool has_betas(OptimizerKind kind) {
  const auto& keys = optimizer_row(kind).keys;
  return kind != OptimizerKind::muon &&
         std::ranges::find(keys, "betas", &OptimizerKey::name) != keys.end();
}

void fold_one_cycle(const Settings& settings, Deck& deck, Faults& faults) {
  OneCycleConfig& c = deck.schedule.deepspeed.one_cycle;
  const Setting* type = given(settings, "scheduler.type");
  const Place place = type == nullptr ? Place{} : type->place;
  for (const char* key : {"cycle_min_lr", "cycle_max_lr"}) {
    if (given(settings, fmt::format("{}{}", kParams, key)) != nullptr) continue;
    faults.add(Faults::Kind::missing, place,
               fmt::format("scheduler: OneCycle needs {}{}", kParams, key));
  }
  const auto ordered = [&](double low, double high, std::string_view name) {
    if (low <= high) return;
    faults.add(Faults::Kind::contradiction, place,
               fmt::format("{0}cycle_min_{1} {2} is above cycle_max_{1} {3}", kParams, name,
                           low, high));
  };
  ordered(c.min_lr, c.max_lr, "lr");
  ordered(c.min_mom, c.max_mom, "mom");
  if (c.cycle_momentum && optimizer_row(deck.optimizer.kind).compresses) {
    faults.add(
        Faults::Kind::refused, place,
        fmt::format("scheduler: {}cycle_momentum is not available with {}: set it to false",
                    kParams, optimizer_row(deck.optimizer.kind).name));
  }
  if (!c.cycle_momentum || has_betas(deck.optimizer.kind)) return;
  c.cycle_momentum = false;
  deck.warnings.push_back(
      fmt::format("scheduler: {}cycle_momentum has no effect, in DeepSpeed neither: {} has no "
                  "betas to cycle",
                  kParams, optimizer_row(deck.optimizer.kind).name));
}

/// What the learning rate is called that WarmupLR and others rise to.
void note_unused_rate(const Settings& settings, Deck& deck) {
  const ScheduleConfig& rate = deck.schedule;
  const Type type = rate.deepspeed.type;
  const double highest = highest_rate(rate);
  if (type == Type::cosine || highest == rate.lr) return;
  if (given(settings, "optimizer.params.lr") == nullptr) return;
  deck.notes.push_back(
      fmt::format("scheduler sets the learning rate: it {} {}, and lr {} isn't used",
                  type == Type::one_cycle    ? "rises to cycle_max_lr"
                  : type == Type::range_test ? "begins with lr_range_test_min_lr"
                                             : "rises to warmup_max_lr",
                  highest, rate.lr));
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
  forget_unread(s);
  const std::string max_lr = "scheduler.params.warmup_max_lr";
  const std::string steps = "scheduler.params.warmup_num_steps";
  const auto is_given = [&](const std::string& p) { return given(settings, p) != nullptr; };
  const bool warms = s.type == Type::constant || s.type == Type::linear;
  if (warms && s.max_lr == 0 && !is_given(max_lr)) {
    const bool of_optimizer = s.type == Type::constant || automatic.contains(max_lr);
    s.max_lr = of_optimizer ? rate.lr : 0.001;
  }
  if (automatic.contains(steps) && !is_given(steps) && is_given("warmup")) {
    s.warmup_steps = warmup_iters(rate);
  }
  note_unused_rate(settings, deck);
  if (s.type == Type::one_cycle) fold_one_cycle(settings, deck, faults);
  if (warms && s.min_lr > s.max_lr) {
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

void check_schedule(const Deck& deck) {
  const OneCycleConfig& c = deck.schedule.deepspeed.one_cycle;
  const auto last = betas_at(deck.schedule, std::max<std::int64_t>(1, deck.train_iters));
  TRM_REQUIRE(
      !last || ((*last)[0] >= 0 && (*last)[0] < 1),
      "scheduler.params.decay_mom_rate {} makes a momentum of {:.4g} out of cycle_max_mom "
      "{} by iteration {}: choose a rate that keeps it between 0 and 1, or 0",
      c.decay_mom_rate, (*last)[0], c.max_mom, deck.train_iters);
}

double highest_rate(const ScheduleConfig& schedule) {
  const DeepSpeedSchedule& s = schedule.deepspeed;
  if (s.type == Type::one_cycle) return s.one_cycle.max_lr;
  if (s.type == Type::range_test) return s.range_test.min_lr;
  return s.type == Type::constant || s.type == Type::linear ? s.max_lr : schedule.lr;
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
