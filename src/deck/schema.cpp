// SPDX-License-Identifier: Apache-2.0
// Looks keys up by path, and finds the nearest name to a mistyped one.
#include "schema.hpp"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <optional>
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

/// How far a mistyped name is from a known name; nothing if no word-by-word slip explains the
/// name. `eval_batch_size` is thus no slip for `train_batch_size`.
std::optional<std::size_t> slip(std::string_view name, std::string_view known) {
  const auto a = deck::split_words(name, '_');
  const auto b = deck::split_words(known, '_');
  if (a.size() != b.size()) {
    const auto joined = [](const std::vector<std::string>& words) {
      return fmt::format("{}", fmt::join(words, ""));
    };
    const std::size_t d = distance(joined(a), joined(b));
    return d <= 1 ? std::optional(d + 1) : std::nullopt;
  }
  std::size_t sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto [shorter, longer] = std::minmax(
        a[i], b[i], [](const auto& x, const auto& y) { return x.size() < y.size(); });
    // An abbreviation, or what it abbreviates, is one slip: `pos_embed`.
    const bool abbreviates = shorter.size() >= 3 && longer.starts_with(shorter);
    const std::size_t d = std::min<std::size_t>(distance(a[i], b[i]), abbreviates ? 1 : 9);
    if (d > (std::max(a[i].size(), b[i].size()) >= 8 ? 2U : 1U)) return std::nullopt;
    sum += d;
  }
  return sum <= 2 ? std::optional(sum) : std::nullopt;
}

}  // namespace

std::string nearest_name(std::string_view name, std::span<const std::string> names) {
  std::string best;
  // A longer name is no typing error, and the cost is quadratic.
  if (name.empty() || name.size() > 200) return best;
  std::size_t least = 3;
  for (const std::string& candidate : names) {
    const auto d = slip(name, candidate);
    if (!d || *d >= least) continue;
    least = *d;
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

void Schema::add(const std::string& path, const Meaning& meaning) {
  Meaning m = meaning;
  if (m.path.empty()) m.path = path;
  TRM_CHECK(leaves_.emplace(path, m).second, "key {} is in the tables twice", path);
  for (std::size_t dot = path.find('.'); dot != std::string::npos;
       dot = path.find('.', dot + 1)) {
    dictionaries_.insert(path.substr(0, dot));
  }
}

Schema::Schema() {
  for (const Section& section : key_sections()) {
    for (const Key& key : section.keys) {
      const std::string path(key.path);
      add(path, {path, &key});
      for (const std::string& alias : split_words(key.aliases)) add(alias, {path, &key});
    }
  }
  for (const ForeignKeys& group : foreign_keys()) {
    const std::string above =
        group.dictionary.empty() ? "" : std::string(group.dictionary) + ".";
    for (const ForeignKey& key : group.keys) {
      add(above + std::string(key.name), {"", nullptr, &group, &key});
    }
  }
  const std::map<std::string, Meaning> known = leaves_;
  for (const auto& [path, meaning] : known) {  // `bfloat16` is DeepSpeed's former name
    if (path.starts_with("bf16.")) add("bfloat16" + path.substr(4), meaning);
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
  // Try the right name in a wrong place before a similar name in this dictionary. A name in
  // another dictionary, such as a loss scale, may mean something else.
  const std::string family = above.substr(0, above.find('.'));
  std::set<std::string> elsewhere;
  for (const auto& [leaf, meaning] : leaves_) {
    if (meaning.key == nullptr || (leaf != name && !leaf.ends_with("." + name))) continue;
    if (leaf.starts_with(family) || leaf.find('.') == std::string::npos) {
      elsewhere.insert(meaning.path);
    }
  }
  if (elsewhere.size() == 1) return *elsewhere.begin();
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

bool is_off(const Meaning& meaning, const Value& value) {
  switch (value.kind) {
    case Value::Kind::null:
      return true;
    case Value::Kind::list:
      return std::ranges::all_of(value.items,
                                 [&](const Value& v) { return v.kind == Value::Kind::null; });
    case Value::Kind::map: {
      const Value* enabled = value.find("enabled");
      return value.entries.empty() || (enabled != nullptr && is_off(meaning, *enabled));
    }
    case Value::Kind::scalar:
      break;
  }
  std::vector<std::string> off = split_words(meaning.group->off, '|');
  off.emplace_back(meaning.foreign->usual);
  const bool on_by_default = meaning.foreign->usual == "true";
  if (!on_by_default) {
    for (const char* word : {"false", "no", "off", "none", "null"}) off.emplace_back(word);
  }
  return value.text.empty() || std::ranges::any_of(off, [&](std::string_view word) {
           return same_scalar(value.text, word);
         });
}

}  // namespace deck

}  // namespace trireme
