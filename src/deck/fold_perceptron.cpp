// SPDX-License-Identifier: Apache-2.0
// Decks with mlp_sizes: a multilayer perceptron in place of a transformer.
#include <algorithm>
#include <array>

#include "fold.hpp"
#include "keys/tables.hpp"

namespace trireme::deck {

bool is_model_key(const Key& key) {
  return std::ranges::find(model_keys(), key.path, &Key::path) != model_keys().end();
}

void fold_perceptron(const Settings& settings, DeckSettings& deck) {
  ModelConfig& model = deck.model;
  if (!model.is_perceptron()) return;
  const Setting* const task = given(settings, "task");
  TRM_REQUIRE(task == nullptr || model.task == Task::image_classification,
              "{}: {} is {}, but mlp_sizes makes a model for image_classification",
              task->place.str(), task->spelled, task->value.plain());
  const auto& sizes = model.mlp_sizes;
  TRM_REQUIRE(sizes.size() >= 2,
              "mlp_sizes expects two widths or more, such as [784, 512, 10]: the bytes of an "
              "image, inner widths, and the number of classes");
  TRM_REQUIRE(
      !gated(model.activation),
      "mlp_sizes: a perceptron's layers have no gates; use activation gelu, relu or silu");
  ModelConfig own = perceptron_config(sizes, model.activation, model.hidden_dropout);
  own.label_smoothing = model.label_smoothing;
  own.image_mean = model.image_mean;
  own.image_std = model.image_std;
  own.lora = model.lora;
  own.train_only = model.train_only;
  own.freeze = model.freeze;
  constexpr std::array kOwnKeys = {"mlp_sizes",        "task",           "activation",
                                   "bias_gelu_fusion", "hidden_dropout", "label_smoothing",
                                   "image_mean",       "image_std"};
  // A resolved deck has all keys, with the values that follow from mlp_sizes.
  for (const Key& key : model_keys()) {
    const Setting* setting = given(settings, std::string(key.path));
    if (model == own || setting == nullptr) continue;
    if (std::ranges::find(kOwnKeys, key.path) != kOwnKeys.end()) continue;
    throw Error(fmt::format(
        "{}: {} has no meaning with mlp_sizes, whose widths say all of a perceptron",
        setting->place.str(), setting->spelled));
  }
  model = own;
}

void check_perceptron(const DeckSettings& deck) {
  const ModelConfig& model = deck.model;
  if (!model.is_perceptron()) return;
  const std::int64_t least = *std::ranges::min_element(model.mlp_sizes);
  TRM_REQUIRE(least >= deck.model_parallel_size,
              "mlp_sizes: a width of {} cannot be partitioned over model_parallel_size {}",
              least, deck.model_parallel_size);
  const std::pair<bool, const char*> refused[] = {
      {model.lora.enabled(), "lora"},
      {deck.sequence_parallel, "sequence_parallel"},
      {deck.curriculum.enabled, "curriculum_learning"},
      {deck.layer_drop.enabled, "progressive_layer_drop"},
      {deck.generation.sample_interval > 0, "sample_interval"},
      {deck.eval_tasks_iters > 0, "eval_tasks_iters"},
      {deck.fim_rate > 0, "fim_rate"},
      {!deck.train_label_data_paths.empty(), "train_label_data_paths"}};
  for (const auto& [used, key] : refused) {
    TRM_REQUIRE(!used, "{} is for transformers: leave it out of a deck with mlp_sizes", key);
  }
}

}  // namespace trireme::deck
