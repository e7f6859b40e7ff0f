// SPDX-License-Identifier: Apache-2.0
// Holds a deck against the folder of a Hugging Face model whose weights a run begins with.
#include "trireme/huggingface/model_folder.hpp"

#include "resume.hpp"

namespace trireme {

namespace {

/// The folder's deck with the task of `deck`. A classifier has a head of its own, and takes
/// nothing from the folder's.
Deck with_task_of(const Deck& deck, Deck folder) {
  const ModelConfig& model = deck.model;
  ModelConfig& theirs = folder.model;
  if (model.task == Task::image_classification) return folder;
  if (theirs.task == model.task) return folder;  // a head that fits, or an error
  theirs.task = model.task;
  if (!model.pools_rows()) return folder;
  theirs.num_labels = model.num_labels;
  theirs.classifier_row = model.classifier_row;
  theirs.classifier_pooler = model.classifier_pooler;
  theirs.classifier_dropout = model.classifier_dropout;
  theirs.no_weight_tying = model.no_weight_tying;
  theirs.output_transform = model.output_transform;
  theirs.use_bias_in_output = model.use_bias_in_output;
  theirs.output_logit_softcap = model.output_logit_softcap;
  return folder;
}

}  // namespace

void check_model_folder(const std::string& folder, const Deck& deck) {
  const huggingface::ModelFolder source(folder);
  const auto names = huggingface::model_differences(deck, with_task_of(deck, source.deck()));
  TRM_REQUIRE(names.empty(),
              "load: {}: the deck's model is another one than config.json's. The deck's values "
              "and the folder's: {}. `trireme deck {}` prints a deck that fits",
              folder, fmt::join(names, ", "), folder);
  TRM_REQUIRE(!deck.model.output_transform || source.has("model/output_transform.dense.weight"),
              "load: {}: the folder holds an encoder without the head that predicts masked "
              "tokens. It serves task: sequence_classification alone",
              folder);
  if (source.deck().model.lora.enabled()) require_same_adapters(folder, source.deck(), deck);
}

}  // namespace trireme
