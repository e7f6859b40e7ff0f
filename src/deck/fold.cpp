// SPDX-License-Identifier: Apache-2.0
// Converts keys that stand for several settings, and warns of keys without effect.
#include "fold.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "trireme/core/round_up.hpp"
#include "trireme/model/name_pattern.hpp"
#include "trireme/optim/optimizer_table.hpp"

#include "schema.hpp"

namespace trireme::deck {
namespace {

using Kind = Faults::Kind;

/// Why a partition method is not one: "" if it is one.
std::string partition_trouble(const std::string& method) {
  constexpr std::string_view kType = "type:";
  if (method == "uniform" || method == "parameters" || method == "flops") return {};
  if (!method.starts_with(kType)) return "it is another word";
  const auto error = failure_of([&] { (void)NamePattern(method.substr(kType.size())); });
  return error ? error->what() : "";
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

void warn_of_idle_tasks(const DeckSettings& settings, Deck& deck) {
  if (settings.eval_tasks_iters > 0) return;
  const auto warn = [&](bool set, std::string_view key) {
    if (!set) return;
    deck.warnings.push_back(fmt::format(
        "{} has no effect without eval_tasks_iters, the iterations between evaluations", key));
  };
  warn(!settings.eval_tasks.empty(), "eval_tasks");
  warn(settings.eval_tasks_limit > 0, "eval_tasks_limit");
  warn(!settings.eval_tasks_data.empty(), "eval_tasks_data");
}

/// Without a file, no tokenizer is named, and GPT-2's merges belong to GPT-2's vocabulary.
void warn_of_idle_tokenizer(const Draft& draft, Deck& deck) {
  using Type = DeckSettings::TokenizerType;
  const DeckSettings& d = draft.deck;
  const bool needs_file = d.tokenizer_type != Type::any && d.tokenizer_type != Type::characters;
  if (needs_file && d.vocab_file.empty()) {
    deck.warnings.emplace_back("tokenizer_type has an effect with vocab_file only");
  }
  if (d.tokenizer_type == Type::characters && !d.vocab_file.empty()) {
    deck.warnings.emplace_back("vocab_file has no effect: CharLevelTokenizer reads no file");
  }
  const bool takes_encoding =
      d.tokenizer_type == Type::any || d.tokenizer_type == Type::tiktoken;
  if (!d.tokenizer_encoding.empty() && (!takes_encoding || d.vocab_file.empty())) {
    deck.warnings.emplace_back(
        "tokenizer_encoding has an effect with vocab_file and TiktokenTokenizer only");
  }
  const bool takes_merges = d.tokenizer_type == Type::any || d.tokenizer_type == Type::gpt2_bpe;
  if (!d.merge_file.empty() && (!takes_merges || d.vocab_file.empty())) {
    deck.warnings.emplace_back(
        "merge_file has an effect with vocab_file and GPT2BPETokenizer only");
  }
}

/// Whether the settings of a key aren't those of a deck without it.
bool changed(const OptimizerConfig& o, const OptimizerKey& key) {
  const OptimizerConfig usual;
  if (key.flag != nullptr && o.*key.flag != usual.*key.flag) return true;
  if (key.number != nullptr && o.*key.number != usual.*key.number) return true;
  return std::ranges::any_of(key.settings,
                             [&](auto setting) { return o.*setting != usual.*setting; });
}

void reset(OptimizerConfig& o, const OptimizerKey& key) {
  const OptimizerConfig usual;
  if (key.flag != nullptr) o.*key.flag = usual.*key.flag;
  if (key.number != nullptr) o.*key.number = usual.*key.number;
  for (const auto setting : key.settings) o.*setting = usual.*setting;
}

/// Settings of one optimizer under another would have no effect. An earlier version may have
/// stored them.
void refuse_other_optimizers(const Settings& settings, bool stored, OptimizerConfig& o) {
  const OptimizerRow& mine = optimizer_row(o.kind);
  std::map<std::string_view, std::vector<std::string_view>> readers;
  for (const OptimizerRow& other : optimizer_table()) {
    for (const OptimizerKey& key : other.keys) {
      const bool read =
          std::ranges::find(mine.keys, key.name, &OptimizerKey::name) != mine.keys.end();
      const bool said =
          given(settings, fmt::format("optimizer.params.{}", key.name)) != nullptr;
      if (read || !said || !changed(o, key)) continue;
      readers[key.name].push_back(other.name);
      if (stored) reset(o, key);
    }
  }
  if (stored) return;
  for (const auto& [key, names] : readers) {
    throw Error(fmt::format(
        "optimizer.params.{} means something for {} only, and optimizer.type is {}: leave the "
        "key out, or choose another type",
        key, fmt::join(names, ", "), mine.name));
  }
}

/// Chooses between AdamW and Adam, and sets what the optimizer has other defaults for.
void fold_optimizer(const Settings& settings, bool stored, Deck& deck) {
  OptimizerConfig& o = deck.optimizer;
  const Setting* type = given(settings, "optimizer.type");
  const bool mode_said = given(settings, "optimizer.params.adam_w_mode") != nullptr;
  if (!mode_said && type != nullptr && same_scalar(type->value.plain(), "cpu_torch_adam")) {
    o.adam_w_mode = false;
  }
  if (o.kind == OptimizerKind::adam && o.adam_w_mode) o.kind = OptimizerKind::adamw;
  TRM_REQUIRE(
      o.kind != OptimizerKind::adamw || o.adam_w_mode,
      "optimizer.params.adam_w_mode: false asks AdamW to add its decay to the gradient, "
      "which type: Adam does");
  for (const OptimizerKey& key : optimizer_row(o.kind).keys) {
    if (given(settings, fmt::format("optimizer.params.{}", key.name)) != nullptr) continue;
    for (std::size_t i = 0; i < key.defaults.size(); ++i) {
      o.*key.settings[i] = key.defaults[i];
    }
  }
  refuse_other_optimizers(settings, stored, o);
  TRM_REQUIRE(
      !o.eight_bit || o.kind == OptimizerKind::adamw,
      "use_bnb_optimizer: true keeps the moments of AdamW in 8 bits, and optimizer.type "
      "is {}{}: choose AdamW, or leave use_bnb_optimizer out",
      optimizer_row(o.kind).name,
      o.kind == OptimizerKind::adam ? " with adam_w_mode: false" : "");
  TRM_REQUIRE(!o.nesterov || (o.momentum > 0 && o.dampening == 0),
              "optimizer.params.nesterov needs a momentum above 0 and no dampening");
  TRM_REQUIRE(o.rolling_interval_length != 1,
              "skip_step.rolling_interval_length: 1 step has no deviation: use 2 or more, or 0 "
              "to skip no step");
  TRM_REQUIRE(o.min_coeff <= o.max_coeff, "optimizer.params.min_coeff {} is above max_coeff {}",
              o.min_coeff, o.max_coeff);
  TRM_REQUIRE(o.factor_min <= o.factor_max,
              "optimizer.params.factor_min {} is above factor_max {}", o.factor_min,
              o.factor_max);
}

/// Sets the rows of the up-projection by GPT-NeoX's rule of 2024. A gated MLP has two thirds of
/// what the deck says, so that gated and plain MLPs have about equally many parameters.
void fold_mlp_width(const Draft& draft, Deck& deck) {
  ModelConfig& model = deck.model;
  std::int64_t width = model.intermediate_size;
  if (draft.expansion_factor > 0) {
    width = static_cast<std::int64_t>(
        std::min(draft.expansion_factor * static_cast<double>(model.hidden_size), 1e12));
  } else if (width == 0) {
    width = 4 * model.hidden_size;
  }
  std::int64_t inner = width;
  if (gated(model.activation)) {
    const std::int64_t both = 2 * width / 3;
    inner = both / 2;
    if (both % 2 == 1 && inner % draft.mlp_multiple_of == 0) {
      deck.warnings.push_back(fmt::format(
          "GPT-NeoX cannot build this gated mlp: two thirds of {} are odd, and its two "
          "matrices "
          "would disagree. The inner width is {} here; intermediate_size: {} says so",
          width, inner, 3 * inner));
    }
  }
  inner = round_up(inner, draft.mlp_multiple_of);
  model.intermediate_size = gated(model.activation) ? 2 * inner : inner;
  TRM_REQUIRE(inner >= 1 && model.intermediate_size <= 1'000'000'000,
              "intermediate_size {} gives the mlp an inner width of {}; check hidden_size, "
              "intermediate_size, expansion_factor and mlp_multiple_of",
              width, inner);
}

}  // namespace

void check_words(const Settings& settings, const Draft& draft, Faults& faults) {
  const auto find = [&](const std::string& path) { return given(settings, path); };
  if (const auto* s = find("pipe_partition_method"); s != nullptr) {
    const std::string trouble = partition_trouble(draft.deck.pipe_partition_method);
    if (!trouble.empty()) {
      faults.add(
          Kind::wrong_value, s->value.place,
          fmt::format("pipe_partition_method must be uniform, parameters, flops or type:REGEX "
                      "(a regular expression), is {}: {}",
                      s->value.str(), trouble));
    }
  }
  if (const auto* s = find("optimizer.params.betas"); s != nullptr && draft.betas.size() != 2) {
    faults.add(
        Kind::wrong_value, s->value.place,
        fmt::format("optimizer.params.betas expects two numbers, got {}", s->value.str()));
  }
  if (const auto* s = find("split"); s != nullptr && !draft.deck.split.empty()) {
    try {
      static_cast<void>(split_fractions(draft.deck.split));
    } catch (const Error& e) {
      faults.add(Kind::wrong_value, s->value.place, e.what());
    }
  }
  const auto exclude = [&](const std::string& a, const std::string& b) {
    const Setting* x = find(a);
    const Setting* y = find(b);
    if (x == nullptr || y == nullptr) return;
    faults.add(Kind::contradiction, y->place,
               fmt::format("{} contradicts {} ({}); keep one of them", b, a, x->place.str()));
  };
  for (const std::string part : {"train", "valid", "test"}) {
    exclude("data_path", part + "_data_paths");
  }
  exclude("lr_decay_iters", "lr_decay_fraction");
  exclude("lr_decay_samples", "lr_decay_fraction");
  exclude("train_samples", "lr_decay_iters");
  if (draft.deck.train_samples == 0) {
    exclude("rampup_batch_size", "lr_decay_fraction");  // the decay then counts whole batches
    for (const char* key : {"lr_decay_samples", "lr_warmup_samples"}) {
      const Setting* s = find(key);
      if (s == nullptr) continue;
      faults.add(Kind::contradiction, s->place,
                 fmt::format("{} needs train_samples, the length of the run in samples", key));
    }
  }
  exclude("intermediate_size", "expansion_factor");
  if (draft.tensorboard.enabled) exclude("tensorboard_dir", "tensorboard.enabled");
}

void fold(const Settings& settings, Draft& draft, Deck& deck) {
  static_cast<DeckSettings&>(deck) = draft.deck;
  deck.overwrite = draft.overwrite;
  fold_perceptron(settings, deck);
  fold_vision(settings, deck);
  check_task_word(settings, deck);
  ModelConfig& model = deck.model;
  const bool rms = model.norm == Norm::rmsnorm;
  model.norm_epsilon = rms ? draft.rms_norm_epsilon : draft.layernorm_epsilon;
  if (rms) model.use_bias_in_norms = false;
  if (given(settings, "use_bias_in_qkv") == nullptr) {
    model.use_bias_in_qkv = model.use_bias_in_attn_linear;
  }
  if (draft.bias_gelu_fusion && model.activation == Activation::gelu) {
    model.activation = Activation::gelu_tanh;
  }
  if (draft.lr_decay_fraction > 0 && deck.train_samples > 0) {
    deck.schedule.lr_decay_samples = std::max<std::int64_t>(
        1, std::llround(draft.lr_decay_fraction * static_cast<double>(deck.train_samples)));
  } else if (draft.lr_decay_fraction > 0) {
    deck.schedule.lr_decay_iters = std::max<std::int64_t>(
        1, std::llround(draft.lr_decay_fraction * static_cast<double>(deck.train_iters)));
  }
  fill_open(deck);
  fold_mlp_width(draft, deck);

  if (given(settings, "iteration") != nullptr && !deck.load.empty()) {
    deck.load = fmt::format("{}/global_step{}", deck.load, draft.iteration);
  }
  deck.optimizer.beta1 = draft.betas[0];
  deck.optimizer.beta2 = draft.betas[1];
  fold_optimizer(settings, draft.stored, deck);
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
  warn_of_idle_tasks(deck, deck);
  warn_of_other_tasks(deck);
  warn_of_idle_tokenizer(draft, deck);
  if (given(settings, "include") != nullptr) {
    deck.warnings.emplace_back(
        "include names hosts, which an MPI launcher chooses here; decks would end in .yml");
  }
  if (given(settings, "iteration") != nullptr && deck.load.empty()) {
    deck.warnings.emplace_back("iteration has an effect with load only");
  }
  if (deck.optimizer.kind == OptimizerKind::sm3 && given(settings, "weight_decay") != nullptr &&
      deck.optimizer.weight_decay > 0) {
    deck.warnings.emplace_back("weight_decay has no effect for SM3");
  }
  if (given(settings, "optimizer.params.min_8bit_size") != nullptr &&
      !deck.optimizer.eight_bit &&
      deck.optimizer.min_8bit_size != OptimizerConfig{}.min_8bit_size) {
    deck.warnings.emplace_back(
        "optimizer.params.min_8bit_size has an effect with use_bnb_optimizer: true only");
  }
  if (optimizer_row(deck.optimizer.kind).compresses &&
      given(settings, "optimizer.params.bias_correction") != nullptr) {
    deck.warnings.push_back(fmt::format(
        "optimizer.params.bias_correction has no effect for {}, which corrects none",
        optimizer_row(deck.optimizer.kind).name));
  }
  if (draft.bias_gelu_fusion && deck.model.activation != Activation::gelu_tanh) {
    deck.warnings.emplace_back("bias_gelu_fusion has an effect for gelu only");
  }
}

}  // namespace trireme::deck
