// SPDX-License-Identifier: Apache-2.0
// Reads a config.json by its family's rules, and writes one that reads back as the same model.
#include "config.hpp"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "trireme/core/error.hpp"
#include "trireme/deck/keys.hpp"
#include "trireme/deck/show.hpp"
#include "trireme/huggingface/model_folder.hpp"

#include "deck_text.hpp"

namespace trireme::huggingface {

namespace {

constexpr std::int64_t kMostConfigBytes = 1'000'000;

/// Fields that no family computes with.
constexpr std::array kWithoutEffect{"architectures",
                                    "auto_map",
                                    "model_type",
                                    "transformers_version",
                                    "torch_dtype",
                                    "dtype",
                                    "use_cache",
                                    "bos_token_id",
                                    "eos_token_id",
                                    "pad_token_id",
                                    "sep_token_id",
                                    "unk_token_id",
                                    "initializer_range",
                                    "_name_or_path",
                                    "is_decoder",
                                    "output_attentions",
                                    "output_hidden_states",
                                    "return_dict",
                                    "tokenizer_class",
                                    "task_specific_params",
                                    "_attn_implementation",
                                    "_attn_implementation_autoset",
                                    "id2label",
                                    "label2id",
                                    "problem_type",
                                    "classifier_dropout",
                                    "language",
                                    "is_llama_config",
                                    "transformers.js_config"};

std::string known_types() {
  std::vector<std::string_view> names;
  for (const Family& f : families()) {
    if (names.empty() || names.back() != f.model_type) names.push_back(f.model_type);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

/// Values of a deck's keys.
Keys keys_of(const Deck& deck) {
  Keys keys;
  for (const ShownSetting& s : shown_settings(deck)) {
    Json value = Json::parse(s.value, nullptr, false);
    keys[s.path] = value.is_discarded() ? Json(s.value) : std::move(value);
  }
  return keys;
}

/// The fields of a model that say what it computes. Others get one value.
ModelConfig computed(ModelConfig m) {
  const ModelConfig usual;
  if (m.pos_emb != PositionEmbedding::learned) m.max_position_embeddings = m.hidden_size;
  m.seq_length = 1;
  m.reset_position_ids = usual.reset_position_ids;
  m.reset_attention_mask = usual.reset_attention_mask;
  if (m.task == Task::masked_language_model) m.task = usual.task;  // has the same matrices
  if (m.classifier_row == ClassifierRow::by_attention) {
    m.classifier_row = m.bidirectional_attention ? ClassifierRow::first : ClassifierRow::last;
  }
  m.classifier_dropout = usual.classifier_dropout;
  m.label_smoothing = usual.label_smoothing;
  m.hidden_dropout = usual.hidden_dropout;
  m.attention_dropout = usual.attention_dropout;
  m.init_method = usual.init_method;
  m.output_layer_init_method = usual.output_layer_init_method;
  m.init_method_std = usual.init_method_std;
  m.mup.init_scale = usual.mup.init_scale;
  return m;
}

/// The keys of the model alone.
Keys computed_keys(const Deck& deck) {
  Deck model = deck;
  model.model = computed(deck.model);
  Keys keys = keys_of(model);
  const std::span<const deck::Key> known = deck::key_sections().front().keys;
  std::erase_if(keys, [&](const auto& key) {
    return std::ranges::find(known, key.first, &deck::Key::path) == known.end();
  });
  return keys;
}

/// The family of a type. Some types have several, which `architectures` tells apart, and the
/// first of which also stands for others.
const Family* family_of(const std::string& type, const Json& architectures) {
  const Family* found = nullptr;
  for (const Family& f : families()) {
    if (f.model_type != type) continue;
    const bool named = architectures.is_array() && architectures.size() == 1 &&
                       architectures[0] == Json(std::string(f.architecture));
    if (found == nullptr || named) found = &f;
  }
  return found;
}

OrderedJson config_of(const Family& family, const Deck& deck) {
  OrderedJson config{{"architectures", OrderedJson::array({family.architecture})},
                     {"model_type", family.model_type}};
  const Keys keys = keys_of(deck);
  for (const Rule& rule : family.rules) rule.write(keys, config);
  config["use_cache"] = true;
  return config;
}

}  // namespace

std::vector<std::string> model_differences(const Deck& deck, const Deck& other) {
  std::vector<std::string> names;
  const Keys mine = computed_keys(deck);
  const Keys theirs = computed_keys(other);
  for (const auto& [key, value] : mine) {
    const auto at = theirs.find(key);
    if (at == theirs.end() || at->second == value) continue;
    names.push_back(fmt::format("{} ({} and {})", key, brief(value), brief(at->second)));
  }
  return names;
}

std::span<const Family> families() {
  static const std::array kFamilies{
      gpt_neox(), gpt2(),        gptj(),      phi(),    llama(),  mistral(), qwen2(),
      qwen3(),    olmo2(),       gemma(),     gemma2(), gemma3(), bert(),    bert_classifier(),
      roberta(),  xlm_roberta(), distilbert()};
  return kFamilies;
}

const Family& family_named(const std::string& model_type) {
  const auto at = std::ranges::find(families(), model_type, &Family::model_type);
  TRM_REQUIRE(at != families().end(), "the model type {} is not known; known are {}",
              model_type, known_types());
  return *at;
}

ModelFacts facts_of(const Json& config, const std::string& name) {
  Fields fields(config, name);
  TRM_REQUIRE(fields.has("model_type"), "{}: the field model_type is missing", name);
  const std::string type = fields.word("model_type", "");
  const Family* const at = family_of(type, fields.value("architectures"));
  TRM_REQUIRE(at != nullptr, "{}: models of the type {} can't be loaded; known are {}", name,
              type, known_types());
  ModelFacts facts{.family = at, .keys = {}};
  for (const Rule& rule : at->rules) rule.read(fields, facts.keys);
  for (const std::string_view field : kWithoutEffect) fields.pass(field);
  for (const std::string_view field : at->without_effect) fields.pass(field);
  fields.require_all_read();
  return facts;
}

ModelFacts read_config(const std::string& folder) {
  const std::string path = folder + "/config.json";
  return facts_of(read_object(path, kMostConfigBytes), path);
}

std::string yaml_of(const Keys& keys) {
  std::string text;
  std::map<std::string, Json> nested;
  for (const auto& [key, value] : keys) {
    const std::size_t dot = key.find('.');
    if (dot == std::string::npos) {
      text += fmt::format("{}: {}\n", key, value.dump());
    } else {
      nested[key.substr(0, dot)][key.substr(dot + 1)] = value;
    }
  }
  for (const auto& [key, value] : nested) text += fmt::format("{}: {}\n", key, value.dump());
  return text;
}

Written write_config(const Deck& deck, const std::string& model_type) {
  std::vector<std::string> reasons;
  for (const Family& family : families()) {
    if (!model_type.empty() && family.model_type != model_type) continue;
    Written written{.family = &family, .config = config_of(family, deck)};
    std::vector<std::string> names;
    try {
      // What a reader of the file gets.
      const Json read = Json::parse(written.config.dump());
      const ModelFacts back = facts_of(read, "config.json");
      names = model_differences(deck, deck_of(back));
      if (names.empty()) return written;
    } catch (const Error& e) {
      names = {e.what()};
    }
    reasons.push_back(fmt::format("{}: {}", family.model_type, fmt::join(names, ", ")));
  }
  if (!model_type.empty()) static_cast<void>(family_named(model_type));  // throws where unknown
  throw Error(
      fmt::format("no known type of model is what this deck describes. What stands "
                  "against each, with the deck's value first: {}",
                  fmt::join(reasons, "; ")));
}

}  // namespace trireme::huggingface
