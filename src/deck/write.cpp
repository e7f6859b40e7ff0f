// SPDX-License-Identifier: Apache-2.0
// Writes the resolved deck as text, which metrics and checkpoints keep.
#include <algorithm>
#include <utility>

#include "fold.hpp"
#include "paths.hpp"

namespace trireme {
namespace deck {

Draft unfold(const DeckSettings& settings) {
  Draft draft;
  draft.deck = settings;
  ModelConfig& model = draft.deck.model;
  (model.norm == Norm::rmsnorm ? draft.rms_norm_epsilon : draft.layernorm_epsilon) =
      model.norm_epsilon;
  draft.bias_gelu_fusion = model.activation == Activation::gelu_tanh;
  if (draft.bias_gelu_fusion) model.activation = Activation::gelu;
  draft.memory = memory_words(settings);
  draft.betas = {settings.optimizer.beta1, settings.optimizer.beta2};
  return draft;
}

}  // namespace deck

namespace {

std::string yaml_of(deck::Draft draft) {
  std::string out;
  std::vector<std::string> open;  // names of the dictionaries around this key
  for (const deck::Section& section : deck::key_sections()) {
    out += fmt::format("# {}\n", section.title);
    for (const deck::Key& key : section.keys) {
      if (key.need == deck::Need::input) continue;
      std::vector<std::string> names = deck::split_words(key.path, '.');
      const std::string leaf = names.back();
      names.pop_back();
      const auto shared =
          static_cast<std::size_t>(std::ranges::mismatch(names, open).in1 - names.begin());
      for (std::size_t i = shared; i < names.size(); ++i) {
        out += fmt::format("{:{}}{}:\n", "", 2 * i, names[i]);
      }
      out += fmt::format("{:{}}{}: {}\n", "", 2 * names.size(), leaf,
                         deck::field_text(key, draft));
      open = names;
    }
  }
  return out;
}

}  // namespace

std::string to_yaml(const Deck& deck) { return yaml_of(deck::unfold(deck)); }

std::string to_yaml_for_users(const Deck& deck) {
  deck::Draft draft = deck::unfold(deck);
  for (const deck::PathSetting& setting : deck::paths_of(draft)) {
    *setting.path = deck::with_dollars_kept(*setting.path);
  }
  return yaml_of(std::move(draft));
}

}  // namespace trireme
