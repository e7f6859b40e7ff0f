// SPDX-License-Identifier: Apache-2.0
// Looks keys up by path, finds the nearest name to a mistyped one, and lists all keys for
// people.
#include "schema.hpp"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>

namespace trireme {
namespace {

/// The words of a key or a text, in lower case: "lr_decay_iters" has lr, decay and iters.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (const char c : text) {
    const auto letter = static_cast<unsigned char>(c);
    if (std::isalnum(letter) == 0) {
      inside = false;
      continue;
    }
    if (!std::exchange(inside, true)) words.emplace_back();
    words.back() += static_cast<char>(std::tolower(letter));
  }
  return words;
}

/// Whether each wanted word begins one of `words`. Words of one letter don't count.
bool has_words(const std::vector<std::string>& words, const std::vector<std::string>& wanted) {
  bool any = false;
  for (const std::string& w : wanted) {
    if (w.size() < 2) continue;
    any = true;
    if (std::ranges::none_of(words, [&](const std::string& x) { return x.starts_with(w); })) {
      return false;
    }
  }
  return any;
}

/// Edit distance with swaps of neighbours: optimal string alignment (Damerau, CACM 7(3), 1964).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> two(b.size() + 1);
  std::vector<std::size_t> one(b.size() + 1);
  std::vector<std::size_t> now(b.size() + 1);
  std::iota(one.begin(), one.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = one[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      now[j] = std::min({one[j] + 1, now[j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        now[j] = std::min(now[j], two[j - 2] + 1);
      }
    }
    std::swap(two, one);
    std::swap(one, now);
  }
  return one[b.size()];
}

}  // namespace

std::string nearest_name(std::string_view name, std::span<const std::string> names) {
  std::string best;
  std::size_t least = std::max<std::size_t>(1, name.size() / 3) + 1;
  // a longer name is no typing error, and the cost is quadratic
  if (name.size() > 200) return best;
  for (const std::string& candidate : names) {
    const std::size_t d = distance(name, candidate);
    if (d >= least) continue;
    least = d;
    best = candidate;
  }
  return best;
}

namespace deck {

std::vector<std::string> split_words(std::string_view text, char separator) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

void Schema::add(std::string_view dictionary, std::string_view names, const Meaning& meaning) {
  for (const std::string& name : split_words(names)) {
    const std::string path = dictionary.empty() ? name : std::string(dictionary) + "." + name;
    Meaning m = meaning;
    if (m.path.empty()) m.path = path;
    TRM_CHECK(leaves_.emplace(path, m).second, "key {} is in the tables twice", path);
    for (std::size_t dot = path.find('.'); dot != std::string::npos;
         dot = path.find('.', dot + 1)) {
      dictionaries_.insert(path.substr(0, dot));
    }
  }
}

Schema::Schema() {
  for (const Section& section : key_sections()) {
    for (const Key& key : section.keys) {
      add("", key.path, {std::string(key.path), &key, nullptr, nullptr});
      add("", key.aliases, {std::string(key.path), &key, nullptr, nullptr});
    }
  }
  for (const IgnoredKeys& keys : ignored_keys()) {
    add(keys.dictionary, keys.names, {"", nullptr, &keys, nullptr});
  }
  for (const RefusedKeys& keys : refused_keys()) {
    add(keys.dictionary, keys.names, {"", nullptr, nullptr, &keys});
  }
}

const Schema& Schema::instance() {
  static const Schema schema;
  return schema;
}

const Meaning* Schema::find(const std::string& path) const {
  const auto at = leaves_.find(path);
  return at == leaves_.end() ? nullptr : &at->second;
}

bool Schema::dictionary(const std::string& path) const { return dictionaries_.contains(path); }

std::string Schema::nearest(const std::string& path) const {
  const std::size_t dot = path.rfind('.');
  const std::string above = dot == std::string::npos ? "" : path.substr(0, dot + 1);
  const std::string name = path.substr(above.size());
  std::vector<std::string> siblings(dictionaries_.begin(), dictionaries_.end());
  for (const auto& [leaf, meaning] : leaves_) siblings.push_back(leaf);
  std::erase_if(siblings, [&](const std::string& s) {
    return !s.starts_with(above) || s.find('.', above.size()) != std::string::npos;
  });
  for (std::string& s : siblings) s.erase(0, above.size());
  // Try the right name in the wrong dictionary before a similar name in this dictionary.
  for (const auto& [leaf, meaning] : leaves_) {
    if (meaning.key != nullptr && (leaf == name || leaf.ends_with("." + name))) return leaf;
  }
  std::ranges::sort(siblings);
  const std::string best = nearest_name(name, siblings);
  return best.empty() ? "" : above + best;
}

std::vector<std::string> Schema::related(const std::string& path) const {
  constexpr std::size_t kMost = 3;
  const std::vector<std::string> wanted = words_of(path);
  for (const bool with_doc : {false, true}) {
    std::vector<std::pair<std::size_t, std::string>> found;  // words, path
    for (const Section& section : key_sections()) {
      for (const Key& key : section.keys) {
        auto words = words_of(key.path);
        const std::size_t size = words.size();
        if (with_doc) {
          const auto more = words_of(key.doc);
          words.insert(words.end(), more.begin(), more.end());
        }
        if (has_words(words, wanted)) found.emplace_back(size, key.path);
      }
    }
    if (found.empty()) continue;
    std::ranges::stable_sort(found, {}, &std::pair<std::size_t, std::string>::first);
    std::vector<std::string> paths;
    for (const auto& [size, name] : found) {
      if (paths.size() < kMost) paths.push_back(name);
    }
    return paths;
  }
  return {};
}

bool is_off(const RefusedKeys& key, const std::string& path, const Value& value) {
  const std::vector<std::string> off = split_words(key.off, '|');
  const auto listed = [&off](std::string word) {
    std::ranges::transform(word, word.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return std::ranges::find(off, word) != off.end();
  };
  if (path == "attention_config") {  // [[["flash"], 12]]: kinds of attention, each with a count
    if (value.kind != Value::Kind::list) {
      return value.kind == Value::Kind::null || listed(value.text) || value.text == "all" ||
             value.text.find_first_not_of("0123456789") == std::string::npos;
    }
    return std::ranges::all_of(value.items,
                               [&](const Value& v) { return is_off(key, path, v); });
  }
  switch (value.kind) {
    case Value::Kind::null:
      return true;
    case Value::Kind::list:
      return value.items.empty();
    case Value::Kind::map: {
      const Value* enabled = value.find("enabled");
      return value.entries.empty() || (enabled != nullptr && is_off(key, path, *enabled));
    }
    case Value::Kind::scalar:
      break;
  }
  if (listed(value.text)) return true;
  static const std::vector<std::string> kNo = {"false", "False", "FALSE", "no",   "No",
                                               "off",   "Off",   "None",  "none", ""};
  const bool true_is_off = listed("true");
  return !true_is_off && std::ranges::find(kNo, value.text) != kNo.end();
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

}  // namespace deck

std::string describe_keys(std::string_view about) {
  using namespace deck;
  Draft defaults;
  std::string out;
  const std::vector<std::string> wanted = words_of(about);
  for (const Section& section : key_sections()) {
    std::string keys;
    for (const Key& key : section.keys) {
      const std::string text = fmt::format("{} {} {}", key.path, key.aliases, key.doc);
      if (!wanted.empty() && !has_words(words_of(text), wanted)) continue;
      keys += fmt::format("  {}: {}\n      {}\n", key.path, key.doc, key_facts(key, defaults));
    }
    if (!keys.empty()) out += fmt::format("{}\n{}", section.title, keys);
  }
  if (!wanted.empty()) return out;
  out += "Keys without effect here (named in a warning)\n";
  for (const IgnoredKeys& keys : ignored_keys()) {
    for (const std::string& name : split_words(keys.names)) {
      out +=
          fmt::format("  {}{}{}\n", keys.dictionary, keys.dictionary.empty() ? "" : ".", name);
    }
  }
  out += "Keys that must be off (other values are an error)\n";
  for (const RefusedKeys& keys : refused_keys()) {
    for (const std::string& name : split_words(keys.names)) {
      out += fmt::format("  {}{}{}: {}\n", keys.dictionary, keys.dictionary.empty() ? "" : ".",
                         name, keys.message);
    }
  }
  return out;
}

}  // namespace trireme
