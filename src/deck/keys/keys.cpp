// SPDX-License-Identifier: Apache-2.0
// The table of all known keys: sections in the order in which a deck is written, then the keys
// of other systems.
#include "tables.hpp"

namespace trireme::deck {
namespace {

std::vector<KnownKey> make_known_keys() {
  std::vector<KnownKey> rows;
  Draft defaults;
  for (const Section& section : key_sections()) {
    for (const Key& key : section.keys) {
      const std::string range = key.range.str();
      const std::string text = field_text(key, defaults);
      const bool open =
          key.need == Need::open ||
          (key.need == Need::input && (text == "0" || text == "[]" || text == "\"\""));
      rows.push_back(
          {.section = std::string(section.title),
           .path = std::string(key.path),
           .aliases = std::string(key.aliases),
           .type = field_type(key.field(defaults)) + (range.empty() ? "" : " " + range),
           .usual = key.need == Need::required ? "required"
                    : open                     ? "null"
                                               : text,
           .doc = std::string(key.doc),
           .origin = key.origin,
           .standing = Standing::honoured,
           .advice = ""});
    }
  }
  for (const ForeignKeys& group : foreign_keys()) {
    const std::string above =
        group.dictionary.empty() ? "" : std::string(group.dictionary) + ".";
    const bool setting = group.shown == ForeignKeys::Shown::never && group.advice.empty();
    for (const ForeignKey& key : group.keys) {
      rows.push_back({.section = std::string(group.title),
                      .path = above + std::string(key.name),
                      .aliases = "",
                      .type = std::string(key.type),
                      .usual = std::string(key.usual),
                      .doc = std::string(key.doc),
                      .origin = group.origin,
                      .standing = group.standing,
                      .advice = setting ? "a setting of a feature that is off"
                                        : std::string(group.advice)});
    }
  }
  return rows;
}

}  // namespace

std::string_view name_of(Origin origin) {
  switch (origin) {
    case Origin::neox:
      return "GPT-NeoX";
    case Origin::megatron:
      return "Megatron";
    case Origin::deepspeed:
      return "DeepSpeed";
    case Origin::trireme:
      break;
  }
  return "Trireme";
}

std::string_view name_of(Standing standing) {
  switch (standing) {
    case Standing::honoured:
      return "honoured";
    case Standing::no_meaning:
      return "no meaning here";
    case Standing::not_available:
      break;
  }
  return "not available";
}

std::span<const Section> key_sections() {
  static const Section kSections[] = {
      {"Model", model_keys()},
      {"Mesh and machine", mesh_keys()},
      {"Batch", batch_keys()},
      {"Optimizer and learning rate", optimizer_keys()},
      {"Fine-tuning", tuning_keys()},
      {"What changes during training", growth_keys()},
      {"DeepSpeed's scheduler", scheduler_keys()},
      {"ZeRO", zero_keys()},
      {"Offloading", offload_keys()},
      {"Precision", precision_keys()},
      {"Recomputation", recompute_keys()},
      {"Run", run_keys()},
      {"Checkpoints", checkpoint_keys()},
      {"Data", data_keys()},
      {"Generation", generation_keys()},
  };
  return kSections;
}

std::span<const ForeignKeys> foreign_keys() {
  static const std::vector<ForeignKeys> groups = [] {
    std::vector<ForeignKeys> all;
    for (const auto part :
         {neox_keys(), model_foreign(), deepspeed_foreign(), zero_foreign()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }();
  return groups;
}

std::string key_facts(const Key& key, Draft& defaults) {
  const std::string range = key.range.str();
  std::string facts = field_type(key.field(defaults)) + (range.empty() ? "" : " " + range);
  if (key.need == Need::required) {
    facts += "; required";
  } else {
    facts += "; default " + (key.need == Need::input ? "null" : field_text(key, defaults));
  }
  if (!key.aliases.empty()) facts += fmt::format("; also as {}", key.aliases);
  return facts;
}

const std::vector<KnownKey>& known_keys() {
  static const std::vector<KnownKey> rows = make_known_keys();
  return rows;
}

}  // namespace trireme::deck
