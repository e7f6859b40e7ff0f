// SPDX-License-Identifier: Apache-2.0
// Checks that a deck's keys belong to its task.
#include "fold.hpp"

namespace trireme::deck {

namespace {

constexpr const char* name_of_task(Task task) {
  switch (task) {
    case Task::language_model:
      return "language_model";
    case Task::masked_language_model:
      return "masked_language_model";
    case Task::sequence_classification:
      return "sequence_classification";
    case Task::image_classification:
      return "image_classification";
  }
  return "";
}

/// What needs a model that predicts the next token.
void check_next_token(const DeckSettings& deck) {
  const std::pair<bool, const char*> refused[] = {
      {deck.generation.sample_interval > 0, "sample_interval"},
      {deck.eval_tasks_iters > 0, "eval_tasks_iters"},
      {deck.fim_rate > 0, "fim_rate"},
      {deck.eod_mask_loss, "eod_mask_loss"},
      {!deck.train_label_data_paths.empty(), "train_label_data_paths"}};
  for (const auto& [used, key] : refused) {
    TRM_REQUIRE(!used, "{} is for task: language_model, but the task is {}: leave it out", key,
                name_of_task(deck.model.task));
  }
}

}  // namespace

void check_task(const DeckSettings& deck) {
  const Task task = deck.model.task;
  if (task == Task::language_model || task == Task::image_classification) return;
  check_next_token(deck);
  if (task != Task::sequence_classification) return;
  TRM_REQUIRE(!deck.curriculum.enabled,
              "curriculum_learning shortens texts, but sequence_classification reads a whole "
              "text: leave it out");
  TRM_REQUIRE(deck.pack_impl != Packing::until_overflow,
              "pack_impl: pack_until_overflow puts texts together, but sequence_classification "
              "takes one text a sample: leave it out");
}

void check_task_word(const Settings& settings, const DeckSettings& deck) {
  const ModelConfig& model = deck.model;
  if (!model.bidirectional_attention || model.task != Task::language_model) return;
  const Setting* const attention = given(settings, "bidirectional_attention");
  TRM_REQUIRE(given(settings, "task") != nullptr,
              "{}: bidirectional_attention: true sees the next token, which a language model "
              "predicts: set task: masked_language_model, which hides tokens. If this is what "
              "you mean, set task: language_model",
              attention == nullptr ? "the deck" : attention->place.str());
}

void warn_of_other_tasks(Deck& deck) {
  const ModelConfig& model = deck.model;
  const ModelConfig usual;
  const DeckSettings none;
  const bool masks = model.task == Task::masked_language_model;
  const bool labels = model.pools_rows();
  const std::tuple<bool, bool, const char*, Task> keys[] = {
      {masks, deck.mask_prob != none.mask_prob, "mask_prob", Task::masked_language_model},
      {masks, deck.whole_word_mask, "whole_word_mask", Task::masked_language_model},
      {masks, deck.mask_token_id >= 0, "mask_token_id", Task::masked_language_model},
      {labels, model.num_labels > 0, "num_labels", Task::sequence_classification},
      {labels, model.classifier_row != usual.classifier_row, "classifier_pooling",
       Task::sequence_classification},
      {labels, model.classifier_pooler, "classifier_pooler", Task::sequence_classification},
      {labels, model.classifier_dropout > 0, "classifier_dropout",
       Task::sequence_classification}};
  for (const auto& [used, is_set, key, task] : keys) {
    if (used || !is_set) continue;
    deck.warnings.push_back(
        fmt::format("{} has an effect with task: {} only", key, name_of_task(task)));
  }
  if (model.bidirectional_attention && model.task == Task::language_model) {
    deck.warnings.emplace_back(
        "bidirectional_attention: true sees the next token, which task: language_model "
        "predicts; task: masked_language_model hides tokens");
  }
}

}  // namespace trireme::deck
