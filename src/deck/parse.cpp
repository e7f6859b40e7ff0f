// SPDX-License-Identifier: Apache-2.0
// Parses texts into one deck. Every key is looked up, decks are merged path by path, and values
// are set. Keys that stand for several settings are converted to these settings.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <regex>

#include "trireme/core/regular_file.hpp"

#include "fold.hpp"
#include "paths.hpp"
#include "schema.hpp"

namespace trireme {
namespace deck {
namespace {

std::string joined(const std::vector<std::string>& words, std::string_view separator = ", ") {
  return fmt::format("{}", fmt::join(words, separator));
}

/// One deck whose keys are all looked up, merged over the decks before it.
class Layer {
 public:
  explicit Layer(Settings& merged) : merged_(merged) {}

  void lay(const Value& tree) {
    walk(tree, "");
    for (auto& [path, setting] : own_) merged_.insert_or_assign(path, std::move(setting));
  }

 private:
  void walk(const Value& map, const std::string& above) {
    for (const Entry& entry : map.entries) {
      const std::string path = above.empty() ? entry.key : above + "." + entry.key;
      const Schema& schema = Schema::instance();
      if (const Meaning* meaning = schema.find(path)) {
        add(*meaning, path, entry);
      } else if (!schema.dictionary(path)) {
        unknown(path, entry.place);
      } else if (entry.value.kind == Value::Kind::map) {
        walk(entry.value, path);
      } else if (entry.value.kind == Value::Kind::null || nothing(entry.value.text)) {
        std::erase_if(merged_, [&](const auto& s) { return s.first.starts_with(path + "."); });
      } else {
        fail(entry.value.place, "{} expects a dictionary, got {}", path, entry.value.str());
      }
    }
  }

  static bool nothing(std::string_view word) {
    return word == "false" || word == "False" || word == "None";
  }

  static std::size_t depth(std::string_view path) {
    return static_cast<std::size_t>(std::ranges::count(path, '.'));
  }

  void add(const Meaning& meaning, const std::string& path, const Entry& entry) {
    const auto [at, added] =
        own_.emplace(meaning.path, Setting{path, entry.place, entry.value});
    if (added) return;
    const Setting& other = at->second;
    // A name and its alias in one deck are an error. But decks do set `weight_decay` both at
    // top level and in the optimizer's dictionary. Both may stand if they agree.
    if (depth(other.spelled) == depth(path)) {
      fail(entry.place, "'{}' and '{}' (line {}) are the same key; keep one of them", path,
           other.spelled, other.place.line);
    }
    if (!same(*meaning.key, other.value, entry.value)) {
      fail(entry.place, "{}: {} contradicts {}: {} in line {}; keep one of them", path,
           entry.value.plain(), other.spelled, other.value.plain(), other.place.line);
    }
  }

  static bool same(const Key& key, const Value& a, const Value& b) {
    Draft x;
    Draft y;
    set_field(key, x, a);
    set_field(key, y, b);
    return field_text(key, x) == field_text(key, y);
  }

  [[noreturn]] static void unknown(const std::string& path, const Place& place) {
    const std::string near = Schema::instance().nearest(path);
    if (!near.empty()) fail(place, "unknown key '{}'; did you mean '{}'?", path, near);
    const auto related = Schema::instance().related(path);
    if (related.empty()) {
      fail(place, "unknown key '{}'; `trireme train --help-keys` lists all keys", path);
    }
    fail(place, "unknown key '{}'; did you mean '{}'?", path, joined(related, "' or '"));
  }

  Settings& merged_;
  Settings own_;
};

/// Warns in one line that names each key without effect once, with the reason if there is one.
void warn_of_ignored(const Settings& settings, Deck& deck) {
  std::vector<std::pair<std::string_view, std::vector<std::string>>> groups;
  for (const auto& [path, setting] : settings) {
    const IgnoredKeys* ignored = Schema::instance().find(path)->ignored;
    if (ignored == nullptr || setting.value.kind == Value::Kind::null) continue;
    if (ignored->shown == IgnoredKeys::Shown::never) continue;
    const bool whole = ignored->shown == IgnoredKeys::Shown::whole;
    auto group = std::ranges::find(groups, ignored->note, [](auto& g) { return g.first; });
    if (group == groups.end()) group = groups.insert(groups.end(), {ignored->note, {}});
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

/// Reports all refused keys at once, so that a foreign deck can be corrected in one go.
void refuse(const Settings& settings) {
  const Setting* first = nullptr;
  std::string why;
  std::vector<std::string> others;
  for (const auto& [path, setting] : settings) {
    const RefusedKeys* refused = Schema::instance().find(path)->refused;
    if (refused == nullptr || is_off(*refused, path, setting.value)) continue;
    const std::string what = fmt::format("{}: {}", path, setting.value.plain());
    if (first == nullptr) {
      first = &setting;
      why = fmt::format("{} is not available: {}", what, refused->message);
    } else {
      others.push_back(fmt::format("{} ({})", what, refused->message));
    }
  }
  if (first == nullptr) return;
  if (!others.empty()) {
    why += fmt::format("; nor {} {}", others.size() == 1 ? "is" : "are", joined(others));
  }
  fail(first->value.place, "{}", why);
}

void require_all(const Settings& settings, const std::string& names) {
  const auto has = [&](const std::string& path) { return given(settings, path) != nullptr; };
  std::vector<std::string> missing;
  for (const Section& section : key_sections()) {
    for (const Key& key : section.keys) {
      if (key.need == Need::required && !has(std::string(key.path))) {
        missing.emplace_back(key.path);
      }
    }
  }
  if (!has("train_batch_size") && !has("train_micro_batch_size_per_gpu")) {
    missing.emplace_back("train_micro_batch_size_per_gpu (or train_batch_size)");
  }
  if (!has("data_path") && !has("train_data_paths") && !has("vocab_size")) {
    missing.emplace_back("data_path, train_data_paths, or (without data) vocab_size");
  }
  TRM_REQUIRE(missing.empty(), "{}: missing key{}: {}", names.empty() ? "no deck" : names,
              missing.size() == 1 ? "" : "s", joined(missing));
}

enum class Paths : std::uint8_t { expand, take };

Deck build(const Settings& settings, const std::string& names, Paths paths) {
  refuse(settings);
  Draft draft;
  for (const Section& section : key_sections()) {
    for (const Key& key : section.keys) {
      if (const auto at = settings.find(std::string(key.path)); at != settings.end()) {
        set_field(key, draft, at->second.value);
      }
    }
  }
  if (paths == Paths::expand) expand_paths(settings, draft);
  require_all(settings, names);
  check_words(settings, draft);
  Deck deck;
  fold(draft, deck);
  fold_memory(settings, draft, deck);
  warn_of_ignored(settings, deck);
  warn_of_idle(settings, draft, deck);
  return deck;
}

std::string read_text(const std::string& path) {
  constexpr std::size_t kLargest = std::size_t{16} << 20U;
  if (other_kind(path) != "a folder") require_file_or_nothing(path);  // a pipe would wait
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  TRM_REQUIRE_SYSTEM(file, errno, "{}: cannot open the deck", path);
  std::string text;
  std::vector<char> block(std::size_t{1} << 16U);
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), file.get())) {
    text.append(block.data(), n);
    TRM_REQUIRE(text.size() <= kLargest, "{}: too large for a deck (over 16 MiB)", path);
  }
  TRM_REQUIRE_SYSTEM(std::ferror(file.get()) == 0, errno, "{}: cannot read the deck", path);
  return text;
}

/// Reads a deck from (name, text) pairs.
Deck read_texts(const std::vector<std::pair<std::string, std::string>>& texts,
                const std::vector<std::string>& overrides, Paths paths) {
  try {
    Settings settings;
    std::vector<std::string> names;
    for (const auto& [name, text] : texts) {
      Layer(settings).lay(parse_tree(text, name));
      names.push_back(name);
    }
    for (const std::string& text : overrides) Layer(settings).lay(parse_override(text));
    return build(settings, joined(names), paths);
  } catch (Error& e) {  // every rank parses equal texts
    e.set_everywhere();
    throw;
  }
}

}  // namespace

}  // namespace deck

Deck parse_deck(const std::string& text, const std::string& name) {
  return deck::read_texts({{name, text}}, {}, deck::Paths::take);
}

Deck read_deck(const std::vector<std::string>& files,
               const std::vector<std::string>& overrides) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const std::string& file : files) texts.emplace_back(file, deck::read_text(file));
  return deck::read_texts(texts, overrides, deck::Paths::expand);
}

}  // namespace trireme
