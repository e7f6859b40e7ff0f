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
};

/// DeepSpeed's keys for tensorboard_dir, which becomes output_path/job_name.
struct TensorBoardWords {
  bool enabled = false;
  std::string output_path;
  std::string job_name = "DeepSpeedJobName";
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
  MemoryWords memory;
  TensorBoardWords tensorboard;
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
                           std::vector<double>*, Enumerated>;

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

/// Keys without effect here, under one dictionary ("" = top level).
struct IgnoredKeys {
  enum class Shown : std::uint8_t {
    each,   ///< named in the warning
    whole,  ///< the warning names the dictionary instead
    never   ///< settings of a feature that another key refuses
  };
  std::string_view dictionary;
  std::string_view names;  ///< separated by spaces
  Shown shown = Shown::each;
  std::string_view note = {};
};

/// Keys that are accepted only at a value that switches their feature off.
struct RefusedKeys {
  std::string_view dictionary;
  std::string_view names;    ///< separated by spaces
  std::string_view off;      ///< values that switch the feature off, separated by |
  std::string_view message;  ///< why the feature is refused, and what to do
};

[[nodiscard]] std::span<const Section> key_sections();
[[nodiscard]] std::span<const IgnoredKeys> ignored_keys();
[[nodiscard]] std::span<const RefusedKeys> refused_keys();

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
