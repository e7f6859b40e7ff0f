// SPDX-License-Identifier: Apache-2.0
// From texts to one deck: every key is looked up, decks are merged path by path, values are
// set, and words that stand for several settings are folded into them.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <regex>

#include "deck_keys.hpp"

namespace trireme {
namespace deck {
namespace {

std::string joined(const std::vector<std::string>& words, std::string_view separator = ", ") {
  return fmt::format("{}", fmt::join(words, separator));
}

/// One deck, with all its keys looked up, laid over the decks before it.
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
    // A name and its alias are the same key twice. But decks do say `weight_decay` both at top
    // level and in the optimizer's dictionary, which is fine if they say the same.
    if (depth(other.spelled) == depth(path))
      fail(entry.place, "'{}' and '{}' (line {}) are the same key; keep one of them", path,
           other.spelled, other.place.line);
    if (!same(*meaning.key, other.value, entry.value))
      fail(entry.place, "{}: {} contradicts {}: {} in line {}; keep one of them", path,
           entry.value.plain(), other.spelled, other.value.plain(), other.place.line);
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
    if (near.empty())
      fail(place, "unknown key '{}'; `trireme train --help-keys` lists all", path);
    fail(place, "unknown key '{}'; did you mean '{}'?", path, near);
  }

  Settings& merged_;
  Settings own_;
};

/// One line that names each key without meaning once, with what there is to say about it.
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
    if (std::ranges::find(group->second, name) == group->second.end())
      group->second.push_back(name);
  }
  if (groups.empty()) return;
  std::ranges::stable_sort(groups, {}, [](auto& g) { return !g.first.empty(); });
  std::vector<std::string> parts;
  for (const auto& [note, names] : groups)
    parts.push_back(note.empty() ? joined(names) : fmt::format("{} ({})", joined(names), note));
  deck.warnings.push_back("ignored, as they mean nothing here: " + joined(parts, "; "));
}

/// All at once, so that a deck from elsewhere is set right in one go.
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
  if (!others.empty())
    why += fmt::format("; nor {} {}", others.size() == 1 ? "is" : "are", joined(others));
  fail(first->value.place, "{}", why);
}

void require_all(const Settings& settings, const std::string& names) {
  const auto has = [&](const std::string& path) { return given(settings, path) != nullptr; };
  std::vector<std::string> missing;
  for (const Section& section : key_sections())
    for (const Key& key : section.keys)
      if (key.need == Need::required && !has(std::string(key.path)))
        missing.emplace_back(key.path);
  if (!has("train_batch_size") && !has("train_micro_batch_size_per_gpu"))
    missing.emplace_back("train_micro_batch_size_per_gpu (or train_batch_size)");
  if (!has("data_path") && !has("train_data_paths") && !has("vocab_size"))
    missing.emplace_back("data_path (or train_data_paths; vocab_size where no data is read)");
  TRM_REQUIRE(missing.empty(), "{}: missing key{}: {}", names.empty() ? "no deck" : names,
              missing.size() == 1 ? "" : "s", joined(missing));
}

bool partition_known(const std::string& method) {
  if (method == "uniform" || method == "parameters") return true;
  if (!method.starts_with("type:") || method.size() > 200) return false;
  try {
    const std::regex compiled(method.substr(5));
    return true;
  } catch (const std::regex_error&) {
    return false;
  }
}

/// Checks of single values that a range can't say, and of pairs that exclude each other.
void check_words(const Settings& settings, const Draft& draft) {
  const auto find = [&](const std::string& path) { return given(settings, path); };
  if (const auto* s = find("pipe_partition_method");
      s != nullptr && !partition_known(draft.deck.pipe_partition_method))
    fail(s->value.place,
         "pipe_partition_method must be uniform, parameters or type: and a regular expression, "
         "is {}",
         s->value.str());
  if (const auto* s = find("optimizer.params.betas"); s != nullptr && draft.betas.size() != 2)
    fail(s->value.place, "optimizer.params.betas expects two numbers, got {}", s->value.str());
  if (const auto* s = find("split"); s != nullptr) try {
      static_cast<void>(split_fractions(draft.deck.split));
    } catch (const Error& e) {
      fail(s->value.place, "{}", e.what());
    }
  const auto exclude = [&](const std::string& a, const std::string& b) {
    const Setting* x = find(a);
    const Setting* y = find(b);
    if (x != nullptr && y != nullptr)
      fail(y->place, "{} contradicts {} ({}); keep one of them", b, a, x->place.str());
  };
  for (const std::string part : {"train", "valid", "test"})
    exclude("data_path", part + "_data_paths");
  exclude("lr_decay_iters", "lr_decay_fraction");
  exclude("intermediate_size", "expansion_factor");
  if (draft.tensorboard.enabled) exclude("tensorboard_dir", "tensorboard.enabled");
}

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// The folded words become settings; what isn't given takes the default that rests on others.
void fold(Draft& draft, Deck& deck) {
  static_cast<DeckSettings&>(deck) = draft.deck;
  ModelConfig& model = deck.model;
  const bool rms = model.norm == Norm::rmsnorm;
  model.norm_epsilon = rms ? draft.rms_norm_epsilon : draft.layernorm_epsilon;
  if (rms) model.use_bias_in_norms = false;
  if (draft.bias_gelu_fusion && model.activation == Activation::gelu)
    model.activation = Activation::gelu_tanh;
  if (draft.expansion_factor > 0)
    model.intermediate_size = static_cast<std::int64_t>(
        std::min(draft.expansion_factor * static_cast<double>(model.hidden_size), 1e12));
  if (draft.lr_decay_fraction > 0)
    deck.schedule.lr_decay_iters = std::max<std::int64_t>(
        1, std::llround(draft.lr_decay_fraction * static_cast<double>(deck.train_iters)));
  fill_open(deck);
  const std::int64_t halves = gated(model.activation) ? 2 : 1;
  if (draft.mlp_multiple_of > 1)
    model.intermediate_size = round_up(model.intermediate_size, halves * draft.mlp_multiple_of);
  TRM_REQUIRE(model.intermediate_size >= 1 && model.intermediate_size <= 1'000'000'000,
              "intermediate_size comes out as {}; check hidden_size, expansion_factor and "
              "mlp_multiple_of",
              model.intermediate_size);

  deck.optimizer.beta1 = draft.betas[0];
  deck.optimizer.beta2 = draft.betas[1];
  deck.pipe_parallel_size = std::max(deck.pipe_parallel_size, 1);
  if (draft.tensorboard.enabled) {
    const std::filesystem::path folder = draft.tensorboard.output_path;
    deck.tensorboard_dir = folder / draft.tensorboard.job_name;
  }
}

/// Settings of a dictionary that isn't switched on have no effect.
void warn_of_idle_tensorboard(const Settings& settings, const Draft& draft, Deck& deck) {
  if (draft.tensorboard.enabled) return;
  for (const char* name : {"output_path", "job_name"}) {
    if (given(settings, fmt::format("tensorboard.{}", name)) == nullptr) continue;
    deck.warnings.push_back(fmt::format(
        "tensorboard.{} has no effect without tensorboard: {{enabled: true}}", name));
  }
}

/// Settings of one optimizer under another have no effect.
void warn_of_other_optimizer(Deck& deck) {
  const OptimizerConfig& o = deck.optimizer;
  const OptimizerConfig usual;
  if (o.kind == OptimizerKind::adamw && o.momentum != usual.momentum)
    deck.warnings.emplace_back("optimizer.params.momentum means something for SGD only");
  if (o.kind == OptimizerKind::sgd &&
      (o.beta1 != usual.beta1 || o.beta2 != usual.beta2 || o.epsilon != usual.epsilon))
    deck.warnings.emplace_back("optimizer.params.betas and eps mean something for AdamW only");
}

Deck build(const Settings& settings, const std::string& names) {
  refuse(settings);
  Draft draft;
  for (const Section& section : key_sections())
    for (const Key& key : section.keys)
      if (const auto at = settings.find(std::string(key.path)); at != settings.end())
        set_field(key, draft, at->second.value);
  require_all(settings, names);
  check_words(settings, draft);
  Deck deck;
  fold(draft, deck);
  fold_memory(settings, draft, deck);
  warn_of_ignored(settings, deck);
  warn_of_idle_tensorboard(settings, draft, deck);
  warn_of_other_optimizer(deck);
  if (gated(deck.model.activation))
    deck.warnings.push_back(fmt::format(
        "intermediate_size {} is the whole up-projection, half of it the gate; recent GPT-NeoX "
        "versions take two thirds of what their decks say",
        deck.model.intermediate_size));
  if (draft.bias_gelu_fusion && deck.model.activation != Activation::gelu_tanh)
    deck.warnings.emplace_back("bias_gelu_fusion means something for gelu only");
  return deck;
}

std::string read_text(const std::string& path) {
  constexpr std::size_t kLargest = std::size_t{16} << 20U;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  TRM_REQUIRE(file, "{}: cannot open the deck: {}", path, std::strerror(errno));
  std::string text;
  std::vector<char> block(std::size_t{1} << 16U);
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), file.get())) {
    text.append(block.data(), n);
    TRM_REQUIRE(text.size() <= kLargest, "{}: too large for a deck (over 16 MiB)", path);
  }
  TRM_REQUIRE(std::ferror(file.get()) == 0, "{}: cannot read the deck: {}", path,
              std::strerror(errno));
  return text;
}

/// From (name, text) pairs.
Deck read_texts(const std::vector<std::pair<std::string, std::string>>& texts,
                const std::vector<std::string>& overrides) {
  try {
    Settings settings;
    std::vector<std::string> names;
    for (const auto& [name, text] : texts) {
      Layer(settings).lay(parse_tree(text, name));
      names.push_back(name);
    }
    for (const std::string& text : overrides) Layer(settings).lay(parse_override(text));
    return build(settings, joined(names));
  } catch (Error& e) {  // a text says the same to every rank
    e.set_everywhere();
    throw;
  }
}

}  // namespace

const Setting* given(const Settings& settings, const std::string& path) {
  const auto at = settings.find(path);
  const bool said = at != settings.end() && at->second.value.kind != Value::Kind::null;
  return said ? &at->second : nullptr;
}

}  // namespace deck

Deck parse_deck(const std::string& text, const std::string& name) {
  return deck::read_texts({{name, text}}, {});
}

Deck read_deck(const std::vector<std::string>& files,
               const std::vector<std::string>& overrides) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const std::string& file : files) texts.emplace_back(file, deck::read_text(file));
  return deck::read_texts(texts, overrides);
}

}  // namespace trireme
