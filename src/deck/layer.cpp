// SPDX-License-Identifier: Apache-2.0
// Looks up the keys of one deck, and lays their values over those of earlier decks.
#include "layer.hpp"

#include <algorithm>
#include <cctype>

#include "keys/tables.hpp"
#include "schema.hpp"

namespace trireme::deck {
namespace {

using Kind = Faults::Kind;

std::size_t depth(std::string_view path) {
  return static_cast<std::size_t>(std::ranges::count(path, '.'));
}

bool is_word(const Value& value, std::string_view word) {
  return value.kind == Value::Kind::scalar &&
         std::ranges::equal(value.text, word, [](unsigned char a, unsigned char b) {
           return std::tolower(a) == std::tolower(b);
         });
}

}  // namespace

bool is_false(const Value& value) {
  return std::ranges::any_of(std::initializer_list<const char*>{"false", "no", "off", "none"},
                             [&](const char* word) { return is_word(value, word); });
}

namespace {

/// Whether "auto" is one of the key's own values, or may be a name.
bool takes_auto(const Key* key) {
  if (key == nullptr) return false;
  Draft draft;
  const Field field = key->field(draft);
  if (const auto* choice = std::get_if<Enumerated>(&field)) {
    return std::ranges::find(choice->choices, "auto", &Choice::name) != choice->choices.end();
  }
  return std::holds_alternative<std::string*>(field) ||
         std::holds_alternative<std::vector<std::string>*>(field);
}

bool is_of_recipe(const Key* key) {
  const auto keys = optimizer_keys();
  return key != nullptr && key >= keys.data() && key < keys.data() + keys.size();
}

class Layer {
 public:
  explicit Layer(Merged& merged) : merged_(merged) {}

  void lay(const Value& tree) {
    walk(tree, "");
    for (auto& [path, setting] : own_) {
      merged_.settings.insert_or_assign(path, std::move(setting));
    }
  }
  [[nodiscard]] const DeckKind& kind() const { return kind_; }

 private:
  void walk(const Value& map, const std::string& above) {
    for (const Entry& entry : map.entries) {
      const std::string path = above.empty() ? entry.key : above + "." + entry.key;
      kind_.empty = false;
      if (path == "deepspeed_extra_args" && entry.value.kind == Value::Kind::map) {
        walk(entry.value, "");
      } else if (const Meaning* meaning = Schema::instance().find(path)) {
        leaf(*meaning, path, entry);
      } else if (Schema::instance().dictionary(path)) {
        dictionary(path, entry);
      } else {
        unknown(path, entry.place);
      }
    }
  }

  void leaf(const Meaning& meaning, const std::string& path, const Entry& entry) {
    const bool of_deepspeed =
        meaning.key != nullptr
            ? meaning.path == path && meaning.key->origin == Origin::deepspeed
            : meaning.group->origin == Origin::deepspeed;
    if (depth(path) == 0 && !of_deepspeed) kind_.deepspeed = false;
    kind_.recipe = kind_.recipe || is_of_recipe(meaning.key);
    if (is_word(entry.value, "auto") && !takes_auto(meaning.key)) {
      merged_.automatic.insert(meaning.path);
    } else {
      add(meaning, path, entry);
    }
  }

  void dictionary(const std::string& path, const Entry& entry) {
    if (entry.value.kind == Value::Kind::map) {
      walk(entry.value, path);
    } else if (entry.value.kind == Value::Kind::null || is_false(entry.value)) {
      std::erase_if(merged_.settings,
                    [&](const auto& s) { return s.first.starts_with(path + "."); });
    } else if (path == "zero_optimization" && is_word(entry.value, "true")) {
      Entry stage = entry;  // DeepSpeed's former form
      stage.value.text = "1";
      add(*Schema::instance().find("zero_optimization.stage"), path, stage);
    } else if (!is_word(entry.value, "auto")) {
      merged_.faults.add(
          Kind::wrong_value, entry.value.place,
          fmt::format("{} expects a dictionary, got {}", path, entry.value.str()));
    }
  }

  /// A name and its alias may both stand if they agree, as `clip_grad` and `gradient_clipping`
  /// do in GPT-NeoX's own decks.
  void add(const Meaning& meaning, const std::string& path, const Entry& entry) {
    const auto [at, added] =
        own_.emplace(meaning.path, Setting{path, entry.place, entry.value});
    if (added) return;
    const Setting& other = at->second;
    merged_.faults.gather(Kind::wrong_value, entry.value.place, [&] {
      if (meaning.key != nullptr && same(*meaning.key, other.value, entry.value)) return;
      merged_.faults.add(Kind::contradiction, entry.place,
                         fmt::format("{}: {} contradicts {}: {} in line {}; keep one of them",
                                     path, entry.value.plain(), other.spelled,
                                     other.value.plain(), other.place.line));
    });
  }

  static bool same(const Key& key, const Value& a, const Value& b) {
    Draft x;
    Draft y;
    set_field(key, x, a);
    set_field(key, y, b);
    return field_text(key, x) == field_text(key, y);
  }

  void unknown(const std::string& path, const Place& place) {
    constexpr int kMostSuggestions = 200;  // in a deck, as each takes a while
    const bool suggest = ++unknown_ <= kMostSuggestions;
    const auto suggested =
        suggest ? Schema::instance().suggested(path) : std::vector<std::string>();
    merged_.faults.add(
        Kind::unknown, place,
        suggested.empty() ? fmt::format("unknown key '{}'; `trireme keys` lists all keys", path)
                          : fmt::format("unknown key '{}'; did you mean '{}'?", path,
                                        fmt::join(suggested, "' or '")));
  }

  Merged& merged_;
  Settings own_;
  DeckKind kind_;
  int unknown_ = 0;
};

}  // namespace

std::string Merged::lone_deepspeed() const {
  std::string name;
  for (const DeckKind& deck : decks) {
    if (deck.empty) continue;
    if (deck.deepspeed) {
      name = deck.name;
    } else if (deck.recipe) {
      return {};
    }
  }
  return name;
}

void lay_deck(Merged& merged, const Value& tree, const std::string& name) {
  merged.sources.push_back(name);
  Layer layer(merged);
  layer.lay(tree);
  merged.decks.push_back(layer.kind());
  merged.decks.back().name = name;
}

void lay_override(Merged& merged, const std::string& text) {
  const Value tree = parse_override(text);
  merged.sources.push_back(tree.place.source);
  Layer(merged).lay(tree);
}

}  // namespace trireme::deck
