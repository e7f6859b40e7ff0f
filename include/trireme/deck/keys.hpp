// SPDX-License-Identifier: Apache-2.0
// Every key that a deck may hold. Some keys set something, some have no effect here, and some
// ask for features that are not available.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "trireme/deck/deck.hpp"

namespace trireme::deck {

/// Keys of precision, ZeRO and activation checkpointing that several settings are made from.
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
  bool cpu_offload = false;
};

/// DeepSpeed's keys for tensorboard_dir, which becomes output_path/job_name.
struct TensorBoardWords {
  bool enabled = false;
  std::string output_path;
  std::string job_name = "DeepSpeedJobName";
};

/// What DeepSpeed's `data_efficiency` says beside the curriculum's own keys.
struct DataEfficiencyWords {
  bool enabled = false;
  bool sampling = false;    ///< data_sampling.enabled
  bool curriculum = false;  ///< data_sampling.curriculum_learning.enabled
};

/// A deck while it is read or written: the settings, and the keys that settings are made from.
struct Draft {
  DeckSettings deck;
  std::vector<double> betas{0.9, 0.999};
  bool bias_gelu_fusion = false;
  double layernorm_epsilon = 1e-5;
  double rms_norm_epsilon = 1e-8;
  double expansion_factor = 0;
  std::int64_t mlp_multiple_of = 1;
  double lr_decay_fraction = 0;
  std::int64_t iteration = 0;  ///< which checkpoint in `load`
  std::vector<std::string> include;
  bool stored = false;  ///< in a checkpoint, maybe of an earlier version
  MemoryWords memory;
  TensorBoardWords tensorboard;
  DataEfficiencyWords data_efficiency;
  bool overwrite = false;
};

struct Choice {
  std::string_view name;
  std::uint8_t value = 0;
  std::string_view refusal = {};  ///< why this choice is refused, and what to use
};

/// A reference to an enumeration of type std::uint8_t, with the names of its values.
struct Enumerated {
  std::uint8_t* value;
  std::span<const Choice> choices;
};

using Field = std::variant<bool*, int*, std::int64_t*, std::uint64_t*, double*, std::string*,
                           std::vector<std::string>*, std::vector<std::int64_t>*,
                           std::vector<double>*, std::vector<LrGroup>*, Enumerated>;

struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool above_low = false;   ///< exclude low itself
  bool below_high = false;  ///< exclude high itself
  [[nodiscard]] bool holds(double x) const;
  [[nodiscard]] std::string str() const;  ///< "≥ 0 and < 1"; empty if every value is allowed
};

enum class Need : std::uint8_t {
  usual,     ///< has a default
  open,      ///< 0 or empty means "not given" and is written as null
  required,  ///< must be given
  input      ///< converted to other keys and never written
};

/// The system whose decks brought the key.
enum class Origin : std::uint8_t { neox, megatron, deepspeed, trireme };
/// What a known key does here.
enum class Standing : std::uint8_t { honoured, no_meaning, not_available };

[[nodiscard]] std::string_view name_of(Origin origin);      ///< "GPT-NeoX"
[[nodiscard]] std::string_view name_of(Standing standing);  ///< "no meaning here"

/// A key that sets something.
struct Key {
  std::string_view path;     ///< dotted where nested: "optimizer.params.lr"
  std::string_view aliases;  ///< other paths, separated by spaces
  Field (*field)(Draft&);
  std::string_view doc;
  Range range = {};
  Need need = Need::usual;
  Origin origin = Origin::neox;
};

struct Section {
  std::string_view title;
  std::span<const Key> keys;
};

/// A key of another system that sets nothing here.
struct ForeignKey {
  std::string_view name;
  std::string_view type;
  std::string_view usual;  ///< default in the other system
  std::string_view doc;    ///< meaning in the other system
};

/// Keys that set nothing here, under one dictionary ("" = top level).
struct ForeignKeys {
  enum class Shown : std::uint8_t {
    each,     ///< the warning names the key
    changed,  ///< the warning names the key if its value isn't the default there
    whole,    ///< the warning names the dictionary instead
    never     ///< a setting of a feature that another key switches on
  };
  std::string_view title;
  Origin origin;
  std::string_view dictionary;
  Standing standing;
  /// Why the keys have no meaning here; or why the feature isn't available, and what to use.
  std::string_view advice;
  std::span<const ForeignKey> keys;
  Shown shown = Shown::each;
  /// not_available: values that switch the feature off, separated by |, beside the default.
  std::string_view off = {};
};

/// A row of the table of all known keys.
struct KnownKey {
  std::string section;
  std::string path;
  std::string aliases;
  std::string type;   ///< "integer ≥ 1"
  std::string usual;  ///< default; "required" where there is none
  std::string doc;
  Origin origin = Origin::neox;
  Standing standing = Standing::honoured;
  std::string advice;
};

[[nodiscard]] std::span<const Section> key_sections();
[[nodiscard]] std::span<const ForeignKeys> foreign_keys();
/// The whole table: honoured keys by section, then the keys of other systems.
[[nodiscard]] const std::vector<KnownKey>& known_keys();

[[nodiscard]] std::vector<std::string> split_words(std::string_view text, char separator = ' ');

/// The field's value as YAML text. Lists and numbers read back exactly.
[[nodiscard]] std::string field_text(const Key& key, Draft& draft);
[[nodiscard]] std::string field_type(const Field& field);  ///< "integer", "one of a, b"
/// "integer ≥ 1; default 4; also as ALIAS"
[[nodiscard]] std::string key_facts(const Key& key, Draft& defaults);

/// Every path among the settings, and the key that it stands under.
struct PathSetting {
  std::string_view key;
  std::string* path;
};
[[nodiscard]] std::vector<PathSetting> paths_of(Draft& draft);

/// The draft that these settings would be read from.
[[nodiscard]] Draft unfold(const DeckSettings& settings);

}  // namespace trireme::deck
