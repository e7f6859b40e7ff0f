// SPDX-License-Identifier: Apache-2.0
// Decks with patch_size: a vision transformer, whose tokens are the patches of an image.
#include <algorithm>

#include "fold.hpp"

namespace trireme::deck {

namespace {

/// Refuses keys of a vision transformer in other decks.
void check_without_patches(const Settings& settings, const ModelConfig& model) {
  TRM_REQUIRE(model.task != Task::image_classification || model.is_perceptron(),
              "task: image_classification needs mlp_sizes, which makes a perceptron, or "
              "patch_size and image_size, which make a vision transformer");
  const ModelConfig usual;
  const std::pair<bool, const char*> keys[] = {
      {!model.image_size.empty(), "image_size"},
      {model.num_channels != usual.num_channels, "num_channels"},
      {model.image_mean != usual.image_mean && !model.is_perceptron(), "image_mean"},
      {model.image_std != usual.image_std && !model.is_perceptron(), "image_std"}};
  for (const auto& [is_set, key] : keys) {
    const Setting* const s = given(settings, key);
    TRM_REQUIRE(!is_set, "{}: {} is of vision transformers, which need patch_size",
                s == nullptr ? "the deck" : s->place.str(), key);
  }
}

void check_image(const ModelConfig& model) {
  const auto& size = model.image_size;
  TRM_REQUIRE(size.size() == 2,
              "patch_size {} needs image_size, the rows and columns of an image, such as "
              "[28, 28]",
              model.patch_size);
  for (const std::int64_t extent : size) {
    TRM_REQUIRE(extent % model.patch_size == 0,
                "image_size [{}, {}] is not divisible by patch_size {}", size[0], size[1],
                model.patch_size);
  }
  constexpr double kMost = 1 << 30;
  TRM_REQUIRE(static_cast<double>(size[0]) * static_cast<double>(size[1]) *
                      static_cast<double>(model.num_channels) <=
                  kMost,
              "image_size [{}, {}] with num_channels {} makes images of more than {:.0f} bytes",
              size[0], size[1], model.num_channels, kMost);
}

void refuse_parts_of_texts(const ModelConfig& model) {
  const std::pair<bool, const char*> refused[] = {
      {model.pos_emb != PositionEmbedding::learned && model.pos_emb != PositionEmbedding::none,
       "pos_emb other than learned and none"},
      {model.position_offset > 0, "position_offset"},
      {model.type_vocab_size > 0, "type_vocab_size"},
      {model.embedding_norm, "embedding_norm"},
      {model.embedding_scale != 1, "embedding_scale"},
      {model.output_transform, "output_transform"},
      {model.use_bias_in_output, "use_bias_in_output"},
      {model.output_logit_softcap > 0, "output_logit_softcap"},
      {model.reset_position_ids, "reset_position_ids"},
      {model.reset_attention_mask, "reset_attention_mask"},
      {model.classifier_row == ClassifierRow::last, "classifier_pooling: last"}};
  for (const auto& [used, key] : refused) {
    TRM_REQUIRE(!used, "{} is for texts: leave it out of a deck with patch_size", key);
  }
}

}  // namespace

void fold_vision(const Settings& settings, DeckSettings& deck) {
  ModelConfig& model = deck.model;
  if (!model.is_vision()) return check_without_patches(settings, model);
  const Setting* const task = given(settings, "task");
  TRM_REQUIRE(task == nullptr || model.task == Task::image_classification,
              "{}: {} is {}, but patch_size makes a model for image_classification",
              task->place.str(), task->spelled, task->value.plain());
  model.task = Task::image_classification;
  check_image(model);
  refuse_parts_of_texts(model);
  const Setting* const attention = given(settings, "bidirectional_attention");
  TRM_REQUIRE(attention == nullptr || model.bidirectional_attention,
              "{}: patches attend to each other in both directions: leave out {}",
              attention->place.str(), attention->spelled);
  model.bidirectional_attention = true;
  model.no_weight_tying = true;
  const auto set = [&](const char* key, std::int64_t& field, std::int64_t value) {
    const Setting* const s = given(settings, key);
    TRM_REQUIRE(field == 0 || field == value, "{}: {} is {}, but the image makes {}",
                s == nullptr ? "the deck" : s->place.str(), key, field, value);
    field = value;
  };
  set("seq_length", model.seq_length, model.vision_rows());
  set("max_position_embeddings", model.max_position_embeddings, model.seq_length);
  if (model.num_labels == 0) return;
  TRM_REQUIRE(model.vocab_size == 0 || model.vocab_size == model.num_labels,
              "vocab_size {} and num_labels {} are both the classes of images: leave one out",
              model.vocab_size, model.num_labels);
  model.vocab_size = std::exchange(model.num_labels, 0);
}

void check_vision(const DeckSettings& deck) {
  const ModelConfig& model = deck.model;
  const bool images = model.task == Task::image_classification;
  TRM_REQUIRE(images || !deck.augmentation.changes(),
              "augmentation changes images, but the model reads texts: leave it out");
  if (!model.is_vision()) return;
  TRM_REQUIRE(model.patch_bytes() >= deck.model_parallel_size,
              "a patch of {} bytes cannot be partitioned over model_parallel_size {}",
              model.patch_bytes(), deck.model_parallel_size);
  TRM_REQUIRE(!deck.curriculum.enabled,
              "curriculum_learning shortens texts: leave it out of a deck with patch_size");
}

}  // namespace trireme::deck
