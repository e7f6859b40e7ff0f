// SPDX-License-Identifier: Apache-2.0
// Reads and writes the widths of muP's base model. The file is a deck with mup_base alone.
#include "base_shapes.hpp"

#include <algorithm>
#include <cstdlib>

#include "trireme/core/regular_file.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/deck/mup_file.hpp"

#include "paths.hpp"
#include "schema.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kMostBytes = 1'000'000;
constexpr const char* kBase = "mup_base";

std::string text_of(const MupConfig& mup) {
  return fmt::format(
      "# Widths of a base model for muP, which a deck reads by base_shapes_file\n"
      "{}:\n"
      "  hidden_size: {}\n"
      "  num_attention_heads: {}\n"
      "  num_kv_heads: {}\n"
      "  kv_channels: {}\n"
      "  mlp_width: {}\n",
      kBase, mup.hidden_size, mup.num_attention_heads, mup.num_kv_heads, mup.kv_channels,
      mup.mlp_width);
}

}  // namespace

namespace deck {

namespace {

bool says_true(const Settings& settings, const char* path, bool DeckSettings::*field) {
  const Setting* setting = given(settings, path);
  if (setting == nullptr) return false;
  Draft draft;
  set_field(*Schema::instance().find(path)->key, draft, setting->value);
  return draft.deck.*field;
}

}  // namespace

void lay_base_shapes(Merged& merged) {
  const Setting* file = given(merged.settings, "base_shapes_file");
  const Setting* uses = given(merged.settings, "use_mup");
  if (file == nullptr || file->value.text.empty() || uses == nullptr || is_false(uses->value)) {
    return;
  }
  if (says_true(merged.settings, "save_base_shapes", &DeckSettings::save_base_shapes)) return;
  const std::string path =
      expand_path(file->value.text, [](const char* n) { return std::getenv(n); });
  Value tree;
  try {
    require_file(path);
    tree = parse_tree(read_file(path, kMostBytes), path);
  } catch (const Error& e) {
    fail(file->value.place,
         "base_shapes_file: {}; `trireme train` on the base model's deck writes this file with "
         "use_mup=true and save_base_shapes=true",
         e.what());
  }
  if (tree.entries.size() != 1 || tree.entries[0].key != kBase) {
    fail(file->value.place,
         "base_shapes_file: {} does not hold {} alone, as a run with save_base_shapes: true "
         "writes it. GPT-NeoX's file has names of its own: write one anew here",
         path, kBase);
  }
  Merged base;
  lay_deck(base, tree, path);
  base.faults.raise(base.sources);
  for (const auto& [key, setting] : base.settings) {
    const Setting* own = given(merged.settings, key);
    if (own != nullptr && !same_scalar(own->value.plain(), setting.value.plain())) {
      fail(own->value.place, "{}: {} contradicts base_shapes_file, where {} is {}", key,
           own->value.plain(), setting.place.str(), setting.value.plain());
    }
    merged.settings.insert_or_assign(key, setting);
  }
}

}  // namespace deck

void write_base_shapes(const Deck& deck) {
  const std::string& path = deck.base_shapes_file;
  require_file_or_nothing(path);
  const std::string text = text_of(deck.model.mup);
  std::string before;
  if (!failure_of([&] { before = read_file(path, kMostBytes); })) {
    TRM_REQUIRE(before == text || deck.overwrite,
                "base_shapes_file: {} holds other widths: remove it, name another file, or set "
                "overwrite: true",
                path);
  }
  const int error = make_folder_of(path);
  TRM_REQUIRE_SYSTEM(error == 0, error, "base_shapes_file: cannot make the folder of {}", path);
  replace_text(path, text, Durability::power);
}

}  // namespace trireme
