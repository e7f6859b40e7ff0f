// SPDX-License-Identifier: Apache-2.0
// Finds special tokens, and tokens that continue words.
#include "trireme/tokenizer/token_classes.hpp"

#include <algorithm>
#include <string>

#include <nlohmann/json.hpp>

namespace trireme {

namespace {

using nlohmann::json;

void set(std::vector<bool>& flags, std::int64_t id) {
  if (id >= 0 && id < std::ssize(flags)) flags[static_cast<std::size_t>(id)] = true;
}

/// make_tokenizer() has checked the definition.
void read_definition(const json& spec, TokenClasses& classes) {
  for (const json& token : spec.value("added_tokens", json::array())) {
    if (token.value("special", false)) set(classes.special, token.value("id", -1));
  }
  const json model = spec.value("model", json::object());
  const auto prefix = model.find("continuing_subword_prefix");
  const auto words = model.find("vocab");
  if (prefix == model.end() || !prefix->is_string() || words == model.end()) return;
  const auto text = prefix->get<std::string>();
  if (text.empty() || !words->is_object()) return;
  for (const auto& [token, id] : words->items()) {
    if (!token.starts_with(text) || token.size() == text.size()) continue;
    set(classes.continues, id.get<std::int64_t>());
    classes.knows_words = true;
  }
}

}  // namespace

TokenClasses token_classes(const Tokenizer& tokenizer) {
  TokenClasses classes;
  const auto size = static_cast<std::size_t>(tokenizer.vocab_size());
  classes.special.resize(size);
  classes.continues.resize(size);
  set(classes.special, tokenizer.end_of_document());
  const Surroundings around = tokenizer.surroundings();
  for (const auto* ids : {&around.before, &around.after}) {
    for (const std::int32_t id : *ids) set(classes.special, id);
  }
  const json definition = json::parse(tokenizer.definition(), nullptr, false);
  if (definition.is_object() && definition.contains("tokenizer")) {
    read_definition(definition["tokenizer"], classes);
  }
  for (const char* name : {"[MASK]", "<mask>"}) {
    const auto id = tokenizer.id_of(name);
    if (!id || classes.mask >= 0) continue;
    classes.mask = *id;
    set(classes.special, *id);
  }
  return classes;
}

}  // namespace trireme
