// SPDX-License-Identifier: Apache-2.0
// Converts keys that stand for several settings, and warns of keys without effect.
#include "fold.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <regex>

#include "trireme/core/round_up.hpp"
#include "trireme/optim/optimizer_table.hpp"

namespace trireme::deck {
namespace {

bool partition_known(const std::string& method) {
  if (method == "uniform" || method == "parameters") return true;
  if (!method.starts_with("type:") || method.size() > 200) return false;
  try {
    const std::regex compiled(method.substr(5));
    return true;
  } catch (const std::regex_error&) {
    return false;
  }
}

/// Settings of a dictionary that isn't enabled have no effect.
void warn_of_idle_tensorboard(const Settings& settings, const Draft& draft, Deck& deck) {
  if (draft.tensorboard.enabled) return;
  for (const char* name : {"output_path", "job_name"}) {
    if (given(settings, fmt::format("tensorboard.{}", name)) == nullptr) continue;
    deck.warnings.push_back(fmt::format(
        "tensorboard.{} has no effect without tensorboard: {{enabled: true}}", name));
  }
}

/// Settings of one optimizer under another have no effect.
void warn_of_other_optimizers(Deck& deck) {
  const OptimizerConfig& o = deck.optimizer;
  const OptimizerConfig usual;
  const auto& read = optimizer_row(o.kind).keys;
  for (const OptimizerRow& other : optimizer_table()) {
    std::vector<std::string_view> idle;
    bool changed = false;
    for (const OptimizerKey& key : other.keys) {
      if (std::ranges::find(read, key.name, &OptimizerKey::name) != read.end()) continue;
      idle.push_back(key.name);
      for (const auto setting : key.settings) changed |= o.*setting != usual.*setting;
    }
    if (!changed) continue;
    deck.warnings.push_back(fmt::format("optimizer.params.{} {} something for {} only",
                                        fmt::join(idle, " and "),
                                        idle.size() == 1 ? "means" : "mean", other.name));
  }
}

}  // namespace

void check_words(const Settings& settings, const Draft& draft) {
  const auto find = [&](const std::string& path) { return given(settings, path); };
  if (const auto* s = find("pipe_partition_method");
      s != nullptr && !partition_known(draft.deck.pipe_partition_method)) {
    fail(s->value.place,
         "pipe_partition_method must be uniform, parameters or type:REGEX (a regular "
         "expression), is {}",
         s->value.str());
  }
  if (const auto* s = find("optimizer.params.betas"); s != nullptr && draft.betas.size() != 2) {
    fail(s->value.place, "optimizer.params.betas expects two numbers, got {}", s->value.str());
  }
  if (const auto* s = find("split"); s != nullptr && !draft.deck.split.empty()) {
    try {
      static_cast<void>(split_fractions(draft.deck.split));
    } catch (const Error& e) {
      fail(s->value.place, "{}", e.what());
    }
  }
  const auto exclude = [&](const std::string& a, const std::string& b) {
    const Setting* x = find(a);
    const Setting* y = find(b);
    if (x != nullptr && y != nullptr) {
      fail(y->place, "{} contradicts {} ({}); keep one of them", b, a, x->place.str());
    }
  };
  for (const std::string part : {"train", "valid", "test"}) {
    exclude("data_path", part + "_data_paths");
  }
  exclude("lr_decay_iters", "lr_decay_fraction");
  exclude("intermediate_size", "expansion_factor");
  if (draft.tensorboard.enabled) exclude("tensorboard_dir", "tensorboard.enabled");
}

void fold(Draft& draft, Deck& deck) {
  static_cast<DeckSettings&>(deck) = draft.deck;
  deck.overwrite = draft.overwrite;
  ModelConfig& model = deck.model;
  const bool rms = model.norm == Norm::rmsnorm;
  model.norm_epsilon = rms ? draft.rms_norm_epsilon : draft.layernorm_epsilon;
  if (rms) model.use_bias_in_norms = false;
  if (draft.bias_gelu_fusion && model.activation == Activation::gelu) {
    model.activation = Activation::gelu_tanh;
  }
  if (draft.expansion_factor > 0) {
    model.intermediate_size = static_cast<std::int64_t>(
        std::min(draft.expansion_factor * static_cast<double>(model.hidden_size), 1e12));
  }
  if (draft.lr_decay_fraction > 0) {
    deck.schedule.lr_decay_iters = std::max<std::int64_t>(
        1, std::llround(draft.lr_decay_fraction * static_cast<double>(deck.train_iters)));
  }
  fill_open(deck);
  const std::int64_t halves = gated(model.activation) ? 2 : 1;
  if (draft.mlp_multiple_of > 1) {
    model.intermediate_size = round_up(model.intermediate_size, halves * draft.mlp_multiple_of);
  }
  TRM_REQUIRE(
      model.intermediate_size >= 1 && model.intermediate_size <= 1'000'000'000,
      "intermediate_size becomes {}; check hidden_size, expansion_factor and mlp_multiple_of",
      model.intermediate_size);

  deck.optimizer.beta1 = draft.betas[0];
  deck.optimizer.beta2 = draft.betas[1];
  deck.pipe_parallel_size = std::max(deck.pipe_parallel_size, 1);
  if (draft.tensorboard.enabled) {
    const std::filesystem::path folder = draft.tensorboard.output_path;
    deck.tensorboard_dir = folder / draft.tensorboard.job_name;
  }
}

const Setting* given(const Settings& settings, const std::string& path) {
  const auto at = settings.find(path);
  const bool said = at != settings.end() && at->second.value.kind != Value::Kind::null;
  return said ? &at->second : nullptr;
}

void warn_of_idle(const Settings& settings, const Draft& draft, Deck& deck) {
  warn_of_idle_tensorboard(settings, draft, deck);
  warn_of_other_optimizers(deck);
  if (gated(deck.model.activation)) {
    deck.warnings.push_back(fmt::format(
        "intermediate_size {} is the width of the whole up-projection; half of the width is "
        "the gate. Recent GPT-NeoX versions use two thirds of what their decks say",
        deck.model.intermediate_size));
  }
  if (draft.bias_gelu_fusion && deck.model.activation != Activation::gelu_tanh) {
    deck.warnings.emplace_back("bias_gelu_fusion has an effect for gelu only");
  }
}

}  // namespace trireme::deck
