// SPDX-License-Identifier: Apache-2.0
// Every key that a deck may hold: those that set something, those that mean nothing here, and
// those that ask for what isn't available.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "trireme/app/deck.hpp"

#include "deck_tree.hpp"

namespace trireme::deck {

/// Words about precision, ZeRO and recomputation that aren't settings by themselves.
struct MemoryWords {
  DType precision = DType::f32;
  bool fp16 = false;  ///< fp16.enabled
  DType fp16_type = DType::f16;
  bool bf16 = false;  ///< bf16.enabled
  bool fp16_master = false;
  bool bf16_master = false;
  bool bf16_states = false;
  DType gradient = DType::f32;
  DType communication = DType::f32;
  bool fp32_allreduce = false;
  bool dynamic_loss_scale = true;
  bool checkpoint_activations = false;
  RecomputeConfig::Kind granularity = RecomputeConfig::Kind::full;
  bool contiguous_gradients = true;
  bool reduce_scatter = true;
  bool allgather_partitions = true;
  bool round_robin_gradients = false;
};

/// DeepSpeed's words for tensorboard_dir, which is output_path/job_name.
struct TensorBoardWords {
  bool enabled = false;
  std::string output_path;
  std::string job_name = "DeepSpeedJobName";
};

/// A deck on its way in or out: the settings, and the words of a deck that several of them are
/// made from.
struct Draft {
  DeckSettings deck;
  std::vector<double> betas{0.9, 0.999};
  bool bias_gelu_fusion = false;
  double layernorm_epsilon = 1e-5;
  double rms_norm_epsilon = 1e-8;
  double expansion_factor = 0;
  std::int64_t mlp_multiple_of = 1;
  double lr_decay_fraction = 0;
  MemoryWords memory;
  TensorBoardWords tensorboard;
};

struct Choice {
  std::string_view name;
  std::uint8_t value = 0;
  std::string_view refusal = {};  ///< why this one can't be had, and what to use
};

/// An enumeration seen through its names. Every one of ours is a std::uint8_t.
struct Enumerated {
  std::uint8_t* value;
  std::span<const Choice> choices;
};

using Field = std::variant<bool*, int*, std::int64_t*, std::uint64_t*, double*, std::string*,
                           std::vector<std::string>*, std::vector<std::int64_t>*,
                           std::vector<double>*, Enumerated>;

struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool above_low = false;   ///< low itself is out
  bool below_high = false;  ///< high itself is out
  [[nodiscard]] bool holds(double x) const;
  [[nodiscard]] std::string str() const;  ///< "≥ 0 and < 1"; empty if everything holds
};

enum class Need : std::uint8_t {
  usual,     ///< has a default
  open,      ///< 0 or empty stands for "not given" and is written as null
  required,  ///< must be given
  input      ///< folded into other keys and never written
};

/// A key that sets something.
struct Key {
  std::string_view path;     ///< dotted where nested: "optimizer.params.lr"
  std::string_view aliases;  ///< other paths, separated by spaces
  Field (*field)(Draft&);
  std::string_view doc;
  Range range = {};
  Need need = Need::usual;
};

struct Section {
  std::string_view title;
  std::span<const Key> keys;
};

/// Keys without meaning here, under one dictionary ("" = top level).
struct IgnoredKeys {
  enum class Shown : std::uint8_t {
    each,   ///< named in the warning
    whole,  ///< the dictionary is named instead
    never   ///< settings of a feature that is refused anyway unless it is off
  };
  std::string_view dictionary;
  std::string_view names;  ///< separated by spaces
  Shown shown = Shown::each;
  std::string_view note = {};
};

/// Keys that are fine only at a value that asks for nothing.
struct RefusedKeys {
  std::string_view dictionary;
  std::string_view names;    ///< separated by spaces
  std::string_view off;      ///< values that ask for nothing, separated by |
  std::string_view message;  ///< why, and what to do
};

[[nodiscard]] std::span<const Section> key_sections();
[[nodiscard]] std::span<const IgnoredKeys> ignored_keys();
[[nodiscard]] std::span<const RefusedKeys> refused_keys();

/// What a path means; exactly one is set for a leaf, none for a dictionary.
struct Meaning {
  std::string path;  ///< the key's own path where `path` asked for was an alias
  const Key* key = nullptr;
  const IgnoredKeys* ignored = nullptr;
  const RefusedKeys* refused = nullptr;
};

/// All known paths.
class Schema {
 public:
  static const Schema& instance();

  [[nodiscard]] const Meaning* find(const std::string& path) const;
  [[nodiscard]] bool dictionary(const std::string& path) const;
  /// The known path that `path` was probably meant to be, for "did you mean"; may be empty.
  [[nodiscard]] std::string nearest(const std::string& path) const;

 private:
  Schema();
  void add(std::string_view dictionary, std::string_view names, const Meaning& meaning);

  std::map<std::string, Meaning> leaves_;
  std::set<std::string> dictionaries_;
};

[[nodiscard]] std::vector<std::string> split_words(std::string_view text, char separator = ' ');

/// Converts, checks type and range, and stores. Throws Error with the value's place.
void set_field(const Key& key, Draft& draft, const Value& value);
/// As it is written in YAML; lists and numbers read back exactly.
[[nodiscard]] std::string field_text(const Key& key, Draft& draft);
[[nodiscard]] std::string field_type(const Field& field);  ///< "integer", "one of a, b"
/// "integer ≥ 1; default 4; also as ALIAS"
[[nodiscard]] std::string key_facts(const Key& key, Draft& defaults);

/// Whether a value asks for nothing: null, false, empty, {enabled: false} or one of `off`.
[[nodiscard]] bool is_off(const RefusedKeys& key, const std::string& path, const Value& value);

/// What rests on other keys where the deck leaves it open: num_kv_heads,
/// max_position_embeddings, intermediate_size, lr_decay_iters.
void fill_open(DeckSettings& settings);

/// What the decks say of one key.
struct Setting {
  std::string spelled;  ///< the path as the deck has it; an alias perhaps
  Place place;          ///< of the key
  Value value;
};

/// By the keys' own paths.
using Settings = std::map<std::string, Setting>;

/// Null where the decks don't say it, or say null.
[[nodiscard]] const Setting* given(const Settings& settings, const std::string& path);

/// deck.types, loss_scale, recompute and zero from the draft's words. Throws Error where they
/// contradict each other; warns of what has no effect.
void fold_memory(const Settings& settings, const Draft& draft, Deck& deck);
/// The other way.
[[nodiscard]] MemoryWords memory_words(const DeckSettings& settings);

/// The words of a deck that give these settings.
[[nodiscard]] Draft unfold(const DeckSettings& settings);

}  // namespace trireme::deck
