// SPDX-License-Identifier: Apache-2.0
// Every pattern of a deck must match a name: a mistyped one would train another model.
#include "tuning.hpp"

#include <algorithm>

#include "trireme/core/printable.hpp"
#include "trireme/model/trained.hpp"
#include "trireme/optim/lr_groups.hpp"

namespace trireme::deck {
namespace {

struct NamedParameter {
  std::string name;
  bool trains = true;
};

std::vector<NamedParameter> all_parameters(const ModelConfig& model) {
  std::vector<NamedParameter> all;
  visit_model(model, [&](int, const Parameter& p) { all.push_back({p.name, p.trains}); });
  return all;
}

std::string listed_names(const ModelConfig& model) {
  return fmt::format("{}", fmt::join(parameter_name_patterns(model), ", "));
}

void require_matches(const char* key, const std::vector<std::string>& patterns,
                     const ModelConfig& model, const std::vector<NamedParameter>& all) {
  const auto compiled = name_patterns(key, patterns);
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const bool any = std::ranges::any_of(
        all, [&](const NamedParameter& p) { return compiled[i].found_in(p.name); });
    TRM_REQUIRE(any, "{}: '{}' is found in no parameter's name; the names are {}", key,
                printable(patterns[i]), listed_names(model));
  }
}

void check_lr_groups(const Deck& deck, const std::vector<NamedParameter>& all) {
  const LrGroups groups(deck.optimizer.lr_groups);
  for (std::size_t i = 0; i < deck.optimizer.lr_groups.size(); ++i) {
    const std::string match = printable(deck.optimizer.lr_groups[i].match);
    bool frozen = false;
    const bool any = std::ranges::any_of(all, [&](const NamedParameter& p) {
      const bool mine = groups.find(p.name) == i;
      frozen = frozen || (mine && !p.trains);
      return mine && p.trains;
    });
    TRM_REQUIRE(any || !frozen,
                "lr_groups: '{}' matches frozen parameters alone: leave the group out, or let "
                "them train (keys train_only, freeze, lora)",
                match);
    TRM_REQUIRE(
        any,
        "lr_groups: '{}' is found in no parameter's name that no earlier group has; the "
        "names are {}",
        match, listed_names(deck.model));
  }
}

/// The matrices that may have adapters, as `targets` names them.
std::vector<std::string> matrices_of_layers(const ModelConfig& model) {
  ModelConfig every = model;
  every.num_layers = 1;
  every.lora.rank = 1;
  every.lora.targets.clear();
  every.train_only.clear();
  every.freeze.clear();
  constexpr std::string_view kBefore = "layers.0.";
  std::vector<std::string> names;
  visit_model(every, [&](int, const Parameter& p) {
    if (!p.name.ends_with(kLoraA)) return;
    names.push_back(
        p.name.substr(kBefore.size(), p.name.size() - kBefore.size() - kLoraA.size()));
  });
  return names;
}

void check_lora(const Deck& deck) {
  const LoraConfig& lora = deck.model.lora;
  static_cast<void>(name_patterns("lora.targets", lora.targets));
  const auto names = matrices_of_layers(deck.model);
  for (const std::string& target : lora.targets) {
    LoraConfig one = lora;
    one.targets = {target};
    TRM_REQUIRE(
        std::ranges::any_of(names, [&](const auto& name) { return has_adapter(one, name); }),
        "lora.targets: '{}' matches no matrix of a layer; there are {}", printable(target),
        fmt::join(names, ", "));
  }
  const int tp = deck.model_parallel_size;
  if (lora.dropout == 0 || tp == 1) return;
  const auto check = [&](std::int64_t width, const char* what) {
    TRM_REQUIRE(width / tp % 4 == 0,
                "lora.dropout: {} {} over model_parallel_size {} is no multiple of 4; set "
                "lora.dropout to 0 or change model_parallel_size",
                what, width, tp);
  };
  check(deck.model.head_dim() * deck.model.num_attention_heads, "the heads' width");
  check(deck.model.mlp_inner(), "the inner width of the mlp");
}

}  // namespace

void check_tuning(const Deck& deck) {
  const ModelConfig& model = deck.model;
  const bool any = model.lora.enabled() || !model.train_only.empty() || !model.freeze.empty() ||
                   !deck.optimizer.lr_groups.empty();
  if (!any) return;
  if (model.lora.enabled()) check_lora(deck);
  const auto all = all_parameters(model);
  require_matches("train_only", model.train_only, model, all);
  require_matches("freeze", model.freeze, model, all);
  TRM_REQUIRE(std::ranges::any_of(all, &NamedParameter::trains),
              "no parameter trains: freeze has all that train_only or lora lets train; the "
              "names are {}",
              listed_names(model));
  check_lr_groups(deck, all);
}

}  // namespace trireme::deck
