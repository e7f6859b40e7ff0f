// SPDX-License-Identifier: Apache-2.0
// config.json and deck keys, by the rules of a family.
#pragma once

#include <string>
#include <vector>

#include "trireme/deck/deck.hpp"

#include "families/family.hpp"

namespace trireme::huggingface {

struct ModelFacts {
  const Family* family = nullptr;
  Keys keys;
};

/// Reads FOLDER/config.json. Throws Error for a family or a field that is not known.
[[nodiscard]] ModelFacts read_config(const std::string& folder);
/// Reads the content of a config.json that messages call `name`.
[[nodiscard]] ModelFacts facts_of(const Json& config, const std::string& name);

/// The keys as YAML, in lines; dictionaries such as rope_scaling stand in one line.
[[nodiscard]] std::string yaml_of(const Keys& keys);

/// The family of this name. Throws Error that lists the known names.
[[nodiscard]] const Family& family_named(const std::string& model_type);

/// A config.json, and the family that it names.
struct Written {
  const Family* family = nullptr;
  OrderedJson config;
};
/// Writes a config.json for the deck's model: of the family `model_type`, or where that is
/// empty of the first family that fits. Throws Error that names the keys that don't fit.
[[nodiscard]] Written write_config(const Deck& deck, const std::string& model_type);

}  // namespace trireme::huggingface
