// SPDX-License-Identifier: Apache-2.0
// Writes the resolved deck as text, which metrics and checkpoints keep.
#include <algorithm>

#include "trireme/core/printable.hpp"
#include "trireme/deck/show.hpp"

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
  // An inner width of n is what `intermediate_size: 3 n` asks for.
  if (gated(model.activation)) model.intermediate_size = 3 * model.mlp_inner();
  draft.memory = memory_words(settings);
  draft.betas = {settings.optimizer.beta1, settings.optimizer.beta2};
  return draft;
}

}  // namespace deck

namespace {

/// The draft for read_deck(), which replaces names in paths.
deck::Draft unfold_for_users(const Deck& deck) {
  deck::Draft draft = deck::unfold(deck);
  for (const deck::PathSetting& setting : deck::paths_of(draft)) {
    *setting.path = deck::with_dollars_kept(*setting.path);
  }
  return draft;
}

constexpr auto kNoRemark = [](const deck::Key&) { return std::string(); };

/// Every setting as YAML; `remark` gives the comment that follows a value, or nothing.
template <class F>
std::string written(deck::Draft draft, F remark) {
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
      std::string line =
          fmt::format("{:{}}{}: {}", "", 2 * names.size(), leaf, deck::field_text(key, draft));
      const std::string why = remark(key);
      if (!why.empty()) line = fmt::format("{:<44} # {}", line, why);
      out += line + "\n";
      open = names;
    }
  }
  return out;
}

}  // namespace

std::string to_yaml(const Deck& deck) { return written(deck::unfold(deck), kNoRemark); }

std::string to_yaml_for_users(const Deck& deck) {
  return written(unfold_for_users(deck), kNoRemark);
}

std::string to_yaml_with_sources(const Deck& deck) {
  return written(unfold_for_users(deck), [&](const deck::Key& key) {
    return printable(source_of(deck, std::string(key.path)));
  });
}

std::vector<ShownSetting> shown_settings(const Deck& deck) {
  deck::Draft draft = deck::unfold(deck);
  std::vector<ShownSetting> all;
  for (const deck::Section& section : deck::key_sections()) {
    for (const deck::Key& key : section.keys) {
      if (key.need == deck::Need::input) continue;
      const std::string path(key.path);
      all.push_back({path, deck::field_text(key, draft), source_of(deck, path)});
    }
  }
  return all;
}

}  // namespace trireme
