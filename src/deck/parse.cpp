// SPDX-License-Identifier: Apache-2.0
// Makes one deck of merged settings: checks every value, and converts keys that stand for
// several settings.
#include <algorithm>

#include "base_shapes.hpp"
#include "deck_files.hpp"
#include "layer.hpp"
#include "paths.hpp"
#include "schema.hpp"

namespace trireme {
namespace deck {
namespace {

using Kind = Faults::Kind;

std::string joined(const std::vector<std::string>& words, std::string_view separator = ", ") {
  return fmt::format("{}", fmt::join(words, separator));
}

/// Warns in one line that names each key without effect once, with the reason if there is one.
void warn_of_ignored(const Settings& settings, Deck& deck) {
  using Shown = ForeignKeys::Shown;
  std::vector<std::pair<std::string_view, std::vector<std::string>>> groups;
  for (const auto& [path, setting] : settings) {
    const Meaning& meaning = *Schema::instance().find(path);
    const ForeignKeys* ignored = meaning.group;
    if (ignored == nullptr || ignored->standing != Standing::no_meaning) continue;
    if (setting.value.kind == Value::Kind::null || ignored->shown == Shown::never) continue;
    if (ignored->shown == Shown::changed && is_off(meaning, setting.value)) continue;
    const bool whole = ignored->shown == Shown::whole;
    auto group = std::ranges::find(groups, ignored->advice, [](auto& g) { return g.first; });
    if (group == groups.end()) group = groups.insert(groups.end(), {ignored->advice, {}});
    const std::string name = whole ? std::string(ignored->dictionary) : path;
    if (std::ranges::find(group->second, name) == group->second.end()) {
      group->second.push_back(name);
    }
  }
  if (groups.empty()) return;
  std::ranges::stable_sort(groups, {}, [](auto& g) { return !g.first.empty(); });
  std::vector<std::string> parts;
  for (const auto& [note, names] : groups) {
    parts.push_back(note.empty() ? joined(names) : fmt::format("{} ({})", joined(names), note));
  }
  deck.warnings.push_back("ignored, as these keys have no effect here: " + joined(parts, "; "));
}

/// Whether a dictionary around the key is switched off.
bool is_within_off(const Settings& settings, const std::string& path) {
  for (std::size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
    const Setting* enabled = given(settings, path.substr(0, dot) + ".enabled");
    if (enabled != nullptr && is_false(enabled->value)) return true;
  }
  return false;
}

void refuse(Merged& merged) {
  for (const auto& [path, setting] : merged.settings) {
    const Meaning& meaning = *Schema::instance().find(path);
    if (meaning.group == nullptr || meaning.group->standing != Standing::not_available) {
      continue;
    }
    if (is_off(meaning, setting.value) || is_within_off(merged.settings, path)) continue;
    merged.faults.add(Kind::refused, setting.value.place,
                      fmt::format("{}: {} is not available: {}", path, setting.value.plain(),
                                  meaning.group->advice));
  }
}

void set_all(Merged& merged, Draft& draft) {
  for (const Section& section : key_sections()) {
    for (const Key& key : section.keys) {
      const auto at = merged.settings.find(std::string(key.path));
      if (at == merged.settings.end()) continue;
      const Value& value = at->second.value;
      merged.faults.gather(is_refused(key, value) ? Kind::refused : Kind::wrong_value,
                           value.place, [&] { set_field(key, draft, value); });
    }
  }
}

void require_all(Merged& merged, bool deepspeed) {
  const auto has = [&](const std::string& path) {
    return given(merged.settings, path) != nullptr;
  };
  std::vector<std::string> missing;
  const auto add = [&](std::string name) {
    const bool automatic = merged.automatic.contains(name.substr(0, name.find(' ')));
    missing.push_back(std::move(name));
    if (automatic) missing.back() += " (\"auto\" needs another deck's value)";
  };
  const bool perceptron = has("mlp_sizes");
  const bool vision = has("patch_size");
  for (const Section& section : key_sections()) {
    for (const Key& key : section.keys) {
      if (key.need != Need::required || has(std::string(key.path))) continue;
      if (perceptron && is_model_key(key)) continue;
      if (vision && key.path == "seq_length") continue;
      if (deepspeed && key.path == "optimizer.params.lr") continue;
      if (key.path == "train_iters" && has("train_samples")) continue;
      add(std::string(key.path));
    }
  }
  if (!has("train_batch_size") && !has("train_micro_batch_size_per_gpu")) {
    add("train_micro_batch_size_per_gpu (or train_batch_size)");
  }
  const bool has_size =
      has("vocab_size") || has("vocab_file") || perceptron || (vision && has("num_labels"));
  if (!has("data_path") && !has("train_data_paths") && !has_size) {
    add("data_path, train_data_paths, or (without data) vocab_size");
  }
  if (missing.empty()) return;
  std::vector<std::string> names;
  for (const DeckKind& d : merged.decks) names.push_back(d.name);
  merged.faults.add(
      Kind::missing,
      fmt::format("{}: missing key{}: {}", names.empty() ? "no deck" : joined(names),
                  missing.size() == 1 ? "" : "s", joined(missing)));
}

void note_sources(const Merged& merged, Deck& deck) {
  for (const auto& [path, setting] : merged.settings) {
    if (setting.value.kind == Value::Kind::null) continue;
    const bool alias = setting.spelled != path;
    deck.sources[path] = setting.place.str() + (alias ? ", as " + setting.spelled : "");
  }
  if (merged.automatic.empty()) return;
  std::vector<std::string> open;
  for (const std::string& path : merged.automatic) {
    if (!deck.sources.contains(path)) open.push_back(path);
  }
  if (open.empty()) return;
  deck.notes.push_back(
      fmt::format("\"auto\" leaves these keys to their defaults: {}", joined(open)));
}

enum class Source : std::uint8_t {
  files,      ///< paths are expanded
  text,       ///< paths are taken as they stand
  checkpoint  ///< ... and settings that meant nothing are dropped
};

Deck build(Merged& merged, Source source) {
  const Settings& settings = merged.settings;
  const std::string lone = merged.lone_deepspeed();
  Draft draft;
  draft.stored = source == Source::checkpoint;
  if (!lone.empty()) use_deepspeed_defaults(draft);
  refuse(merged);
  set_all(merged, draft);
  if (source == Source::files) {
    merged.faults.gather(Kind::wrong_value, {}, [&] { expand_paths(settings, draft); });
  }
  require_all(merged, !lone.empty());
  check_attention(settings, draft, merged.faults);
  merged.faults.raise(merged.sources);
  check_words(settings, draft, merged.faults);
  Deck deck;
  merged.faults.gather(Kind::contradiction, {}, [&] { fold(settings, draft, deck); });
  merged.faults.raise(merged.sources);
  fold_memory(settings, draft, deck, merged.faults);
  fold_offload(settings, draft, deck, merged.faults);
  merged.faults.gather(Kind::contradiction, {}, [&] { check_compressed_optimizer(deck); });
  fold_growth(settings, draft, deck, merged.faults);
  fold_schedule(merged.automatic, settings, draft, deck, merged.faults);
  merged.faults.raise(merged.sources);
  deck.optimizer.peak_lr = highest_rate(deck.schedule);
  note_sources(merged, deck);
  if (!lone.empty()) note_deepspeed_defaults(lone, deck);
  warn_of_ignored(settings, deck);
  warn_of_idle(settings, draft, deck);
  return deck;
}

/// Calls `read`, and reads the decks that `read` names.
template <class F>
Deck read_trees(F read, const std::vector<std::string>& overrides, Source source) {
  try {
    std::vector<NamedTree> trees;
    read(trees);
    Merged merged;
    for (const auto& [name, tree] : trees) lay_deck(merged, tree, name);
    for (const std::string& text : overrides) lay_override(merged, text);
    if (source == Source::files) lay_base_shapes(merged);
    return build(merged, source);
  } catch (Error& e) {  // every rank parses equal texts
    e.set_everywhere();
    throw;
  }
}

}  // namespace

}  // namespace deck

Deck parse_deck(const std::string& text, const std::string& name,
                const std::vector<std::string>& overrides) {
  return deck::read_trees(
      [&](std::vector<deck::NamedTree>& trees) { deck::read_text(text, name, trees); },
      overrides, deck::Source::text);
}

Deck parse_stored_deck(const std::string& text, const std::string& name) {
  return deck::read_trees(
      [&](std::vector<deck::NamedTree>& trees) { deck::read_text(text, name, trees); }, {},
      deck::Source::checkpoint);
}

Deck parse_deck_with_whole_widths(const std::string& text, const std::string& name) {
  return deck::read_trees(
      [&](std::vector<deck::NamedTree>& trees) {
        deck::Value tree = deck::parse_tree(text, name);
        const deck::Value* activation = tree.find("activation");
        const auto width =
            std::ranges::find(tree.entries, "intermediate_size", &deck::Entry::key);
        if (activation != nullptr && width != tree.entries.end() &&
            activation->text.ends_with("glu")) {
          const std::int64_t inner = std::atoll(width->value.text.c_str()) / 2;
          width->value.text = std::to_string(3 * inner);
        }
        trees.emplace_back(name, std::move(tree));
      },
      {}, deck::Source::checkpoint);
}

Deck read_deck(const std::vector<std::string>& files,
               const std::vector<std::string>& overrides) {
  return deck::read_trees(
      [&](std::vector<deck::NamedTree>& trees) {
        for (const std::string& file : files) deck::read_file(file, trees);
      },
      overrides, deck::Source::files);
}

}  // namespace trireme
