// SPDX-License-Identifier: Apache-2.0
// Converts a deck's keys of precision, ZeRO and activation checkpointing. Decks can state some
// of these settings in several ways.
#include <algorithm>
#include <cmath>

#include "trireme/optim/optimizer_table.hpp"

#include "fold.hpp"
#include "schema.hpp"

namespace trireme::deck {
namespace {

[[noreturn]] void contradict(const Setting& a, const Setting& b) {
  fail(a.place, "{}: {} contradicts {}: {} ({}); keep one of them", a.spelled, a.value.plain(),
       b.spelled, b.value.plain(), b.place.str());
}

/// fp16 or bf16 is selected by `precision` or by the dictionary of that name. GPT-NeoX also had
/// `fp16: {type: bfloat16}`.
DType compute_type(const Settings& settings, const MemoryWords& words) {
  const Setting* precision = given(settings, "precision");
  const Setting* fp16 = given(settings, "fp16.enabled");
  const Setting* type = given(settings, "fp16.type");
  const Setting* bf16 = given(settings, "bf16.enabled");
  std::vector<std::pair<DType, const Setting*>> asked;
  if (precision != nullptr) asked.emplace_back(words.precision, precision);
  if (words.fp16_type == DType::bf16 && (fp16 == nullptr || words.fp16)) {
    asked.emplace_back(DType::bf16, type);
  } else if (words.fp16) {
    asked.emplace_back(DType::f16, fp16);
  }
  if (words.bf16) asked.emplace_back(DType::bf16, bf16);
  if (asked.empty()) return DType::f32;
  const auto [compute, by] = asked.front();
  for (const auto& [other, setting] : asked) {
    if (other != compute) contradict(*setting, *by);
  }
  if (compute == DType::f16 && fp16 != nullptr && !words.fp16) contradict(*fp16, *by);
  if (compute == DType::bf16 && bf16 != nullptr && !words.bf16) contradict(*bf16, *by);
  return compute;
}

/// Sets the types of master weights and gradients, which one key can select together.
void fold_kept_types(const Settings& settings, const MemoryWords& words,
                     PrecisionConfig& types) {
  const bool half = types.compute == DType::f16    ? words.fp16_master
                    : types.compute == DType::bf16 ? words.bf16_master
                                                   : false;
  types.master = types.gradient = half ? types.compute : DType::f32;
  if (types.compute == DType::bf16 && words.bf16_states) {
    if (!half) {
      fail(given(settings, "bf16.bf16_optimizer_states")->place,
           "bf16.bf16_optimizer_states: true needs bf16.bf16_master_weights_and_grads: true");
    }
    types.moments = DType::bf16;
  }
  const Setting* gradient = given(settings, "data_types.grad_accum_dtype");
  if (gradient == nullptr) return;
  const bool fits = words.gradient == DType::f32 || words.gradient == types.compute ||
                    (words.gradient == DType::bf16 && types.compute == DType::f32);
  if (!fits) {
    fail(gradient->value.place,
         "data_types.grad_accum_dtype: {} does not go with precision: {}; use fp32{}",
         gradient->value.plain(), name_of(types.compute),
         types.compute == DType::f32 ? " or bf16"
                                     : fmt::format(" or {}", name_of(types.compute)));
  }
  if (half && words.gradient != types.compute) {
    contradict(*gradient, *given(settings, types.compute == DType::f16
                                               ? "fp16.fp16_master_weights_and_grads"
                                               : "bf16.bf16_master_weights_and_grads"));
  }
  types.gradient = words.gradient;
}

DType communication_type(const Settings& settings, const MemoryWords& words, DType compute) {
  const Setting* type = given(settings, "communication_data_type");
  if (type == nullptr) {
    return compute == DType::f16 && !words.fp32_allreduce ? DType::f16 : DType::f32;
  }
  if (words.fp32_allreduce && words.communication != DType::f32) {
    contradict(*type, *given(settings, "fp32_allreduce"));
  }
  return words.communication;
}

void check_loss_scale(const Settings& settings, const MemoryWords& words,
                      const LossScaleConfig& scale) {
  if (const Setting* s = given(settings, "dynamic_loss_scale")) {
    const Setting* fixed = given(settings, "fp16.loss_scale");
    if (words.dynamic_loss_scale && scale.fixed > 0) contradict(*s, *fixed);
    if (!words.dynamic_loss_scale && scale.fixed == 0) {
      fail(s->place, "dynamic_loss_scale: false requires fp16.loss_scale, the fixed scale");
    }
  }
  if (scale.fixed > 0 || std::ldexp(1.0, scale.initial_power) >= scale.min) return;
  const Setting* power = given(settings, "fp16.initial_scale_power");
  const Setting* min = given(settings, "fp16.min_loss_scale");
  fail((min != nullptr ? min : power)->place,
       "fp16.min_loss_scale {} is above the first loss scale 2^{} = {}, which "
       "fp16.initial_scale_power sets",
       scale.min, scale.initial_power, std::ldexp(1.0, scale.initial_power));
}

void check_zero(const Settings& settings, const ZeroConfig& zero) {
  if (!zero.reduce_once_per_step || zero.stage < 2) return;
  fail(given(settings, "zero_optimization.reduce_once_per_step")->place,
       "zero_optimization.reduce_once_per_step: true contradicts zero_optimization.stage: {}, "
       "at which no rank keeps whole gradients. Use stage 0 or 1",
       zero.stage);
}

/// Collects keys that are set but have no effect in this deck. GPT-NeoX's decks set many keys
/// to their defaults, and keep settings of features that are switched off. Neither causes a
/// warning.
class Idle {
 public:
  Idle(const Settings& settings, const Draft& draft) : settings_(settings), draft_(draft) {}

  void add(std::initializer_list<const char*> paths, const std::string& why) {
    std::string names;
    for (const std::string path : paths) {
      const Setting* s = given(settings_, path);
      if (s == nullptr || is_default(*Schema::instance().find(path)->key)) continue;
      names += fmt::format("{}{}: {}", names.empty() ? "" : ", ", s->spelled, s->value.plain());
    }
    if (!names.empty()) say(names, why);
  }
  void say(const std::string& what, const std::string& why) {
    text_ += fmt::format("{}{} ({})", text_.empty() ? "" : "; ", what, why);
  }

  void warn(Deck& deck) const {
    if (!text_.empty()) deck.warnings.push_back("without effect in this deck: " + text_);
  }

 private:
  [[nodiscard]] bool is_default(const Key& key) {
    Draft usual;
    return field_text(key, draft_) == field_text(key, usual);
  }

  const Settings& settings_;
  Draft draft_;
  std::string text_;
};

void warn_of_idle_memory(const Settings& settings, const Draft& draft, Deck& deck) {
  Idle idle(settings, draft);
  idle.add({"zero_optimization.contiguous_gradients"}, "gradients are always contiguous");
  idle.add({"zero_optimization.reduce_scatter"},
           "gradients are always reduced by reduce-scatter");
  idle.add({"zero_optimization.allgather_partitions"},
           "weights are always gathered by all-gather");
  idle.add({"zero_optimization.round_robin_gradients"},
           "the ranks' shards are equal in any case");
  if (deck.zero.stage < 3) {
    idle.add({"zero_optimization.stage3_prefetch_bucket_size",
              "zero_optimization.stage3_param_persistence_threshold",
              "zero_optimization.stage3_max_live_parameters"},
             fmt::format("zero_optimization.stage is {}", deck.zero.stage));
  }
  const MemoryWords& words = draft.memory;
  const auto switched_off = [&](const char* path, bool on) {
    return given(settings, path) != nullptr && !on;
  };
  if (deck.types.compute != DType::f16 && !switched_off("fp16.enabled", words.fp16)) {
    idle.add({"fp16.loss_scale", "fp16.loss_scale_window", "fp16.hysteresis",
              "fp16.consecutive_hysteresis", "fp16.min_loss_scale",
              "fp16.fp16_master_weights_and_grads"},
             "for fp16 only");
  }
  if (deck.types.compute == DType::f16 && deck.loss_scale.fixed > 0) {
    idle.add({"fp16.loss_scale_window", "fp16.hysteresis", "fp16.consecutive_hysteresis",
              "fp16.min_loss_scale"},
             "fp16.loss_scale is fixed");
  }
  if (deck.types.compute != DType::bf16 && !switched_off("bf16.enabled", words.bf16)) {
    idle.add({"bf16.bf16_master_weights_and_grads", "bf16.bf16_optimizer_states"},
             "for bf16 only");
  }
  if (!words.checkpoint_activations &&
      !switched_off("checkpoint_activations", words.checkpoint_activations)) {
    idle.add({"recompute_granularity", "checkpoint_num_layers", "partition_activations",
              "checkpoint_in_cpu"},
             "for checkpoint_activations: true");
  }
  if (deck.recompute.kind == RecomputeConfig::Kind::selective) {
    idle.add({"checkpoint_num_layers", "partition_activations", "checkpoint_in_cpu"},
             "for recompute_granularity: full");
  }
  if (deck.recompute.kind == RecomputeConfig::Kind::full && deck.sequence_parallel) {
    idle.add({"partition_activations"}, "sequence_parallel shards activations already");
  }
  if (deck.types.compute != DType::f16 &&
      switched_off("fp32_allreduce", words.fp32_allreduce) &&
      given(settings, "communication_data_type") == nullptr &&
      deck.types.compute == DType::bf16) {
    idle.say("fp32_allreduce: false",
             "bf16 gradients travel in fp32; communication_data_type: "
             "bf16 changes this");
  }
  idle.warn(deck);
}

/// Small additions to a large number of few digits are lost.
void check_half_state(const Deck& deck) {
  TRM_REQUIRE(!deck.ema.enabled || deck.types.master == DType::f32,
              "ema.enable: true needs master weights in fp32, since an average in half "
              "precision would not move: leave {0}16_master_weights_and_grads out, or ema",
              deck.types.master == DType::f16 ? "fp16.fp" : "bf16.bf");
  const OptimizerKind kind = deck.optimizer.kind;
  TRM_REQUIRE(!deck.optimizer.eight_bit || deck.types.moments == DType::f32,
              "use_bnb_optimizer: true keeps the moments in 8 bits, and "
              "bf16.bf16_optimizer_states: true in 16: leave one of them out");
  TRM_REQUIRE(
      deck.types.moments == DType::f32 ||
          (kind != OptimizerKind::adagrad && kind != OptimizerKind::madgrad),
      "bf16.bf16_optimizer_states: true does not go with optimizer.type: {}, whose sums "
      "would stop growing; leave the key out",
      optimizer_row(kind).name);
}

}  // namespace

void fold_memory(const Settings& settings, const Draft& draft, Deck& deck, Faults& faults) {
  const MemoryWords& words = draft.memory;
  const auto gather = [&](auto f) { faults.gather(Faults::Kind::contradiction, {}, f); };
  gather([&] { deck.types.compute = compute_type(settings, words); });
  gather([&] { fold_kept_types(settings, words, deck.types); });
  gather([&] {
    deck.types.communication = communication_type(settings, words, deck.types.compute);
  });
  deck.loss_scale.enabled = deck.types.compute == DType::f16;
  if (deck.loss_scale.enabled) {
    gather([&] { check_loss_scale(settings, words, deck.loss_scale); });
  }
  gather([&] { check_zero(settings, deck.zero); });
  deck.recompute.kind =
      words.checkpoint_activations ? words.granularity : RecomputeConfig::Kind::none;
  gather([&] { check_half_state(deck); });
  warn_of_idle_memory(settings, draft, deck);
}

MemoryWords memory_words(const DeckSettings& settings) {
  const PrecisionConfig& types = settings.types;
  MemoryWords words;
  words.precision = types.compute;
  words.fp16_master = types.master == DType::f16;
  words.bf16_master = types.master == DType::bf16;
  words.bf16_states = types.moments == DType::bf16;
  words.gradient = types.gradient;
  words.communication = types.communication;
  words.checkpoint_activations = settings.recompute.kind != RecomputeConfig::Kind::none;
  if (words.checkpoint_activations) words.granularity = settings.recompute.kind;
  return words;
}

}  // namespace trireme::deck
