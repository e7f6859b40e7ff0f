// SPDX-License-Identifier: Apache-2.0
// The rules that families are made of. Each names a field and the deck key that it gives.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "family.hpp"

namespace trireme::huggingface {

/// Appends rules.
void add(std::vector<Rule>& rules, std::vector<Rule> more);
/// A whole number that must be there.
[[nodiscard]] Rule count(const std::string& field, const std::string& key);
/// A number, or `usual` where the field is missing.
[[nodiscard]] Rule number(const std::string& field, const std::string& key, double usual);
[[nodiscard]] Rule truth(const std::string& field, const std::string& key, bool usual);
/// tie_word_embeddings, the opposite of no_weight_tying.
[[nodiscard]] Rule tied(bool usual);
/// A key that every model of the family has, such as norm: rmsnorm.
[[nodiscard]] Rule always(const std::string& key, const Json& value);
/// A field whose other values this program can't compute.
[[nodiscard]] Rule only(const std::string& field, const Json& value, const std::string& why);
/// Like only(), for a field that is not written.
[[nodiscard]] Rule refusing(const std::string& field, const Json& value,
                            const std::string& why);
/// The activation; `gate` says that the MLP has a gate.
[[nodiscard]] Rule activation(const std::string& field, const std::string& usual, bool gate);
/// The inner width. A gated MLP's key is three times that, as in GPT-NeoX.
[[nodiscard]] Rule gated_width();
/// The inner width of a plain MLP; null or missing: 4 hidden_size.
[[nodiscard]] Rule plain_width(const std::string& field);
/// num_attention_heads and num_key_value_heads.
[[nodiscard]] Rule grouped_heads();
/// head_dim, apart from hidden_size / num_attention_heads. `usual`: 0 means this quotient.
[[nodiscard]] Rule head_width(std::int64_t usual = 0);
/// Dropout of attention, and of embedding and branches: `hidden` may be empty.
[[nodiscard]] Rule dropouts(const std::string& attention, const std::string& hidden,
                            double usual);
/// Base, share and scaling of rotary embedding, in the words of transformers 4 or 5.
struct RopeWords {
  std::string base = "rope_theta";
  double usual_base = 10000;
  std::string share = "";  ///< field of the rotated share; empty: all is rotated
  double usual_share = 1;
};
[[nodiscard]] Rule rope(const RopeWords& words);
/// sliding_window of all layers.
[[nodiscard]] Rule window();
/// Qwen's use_sliding_window, sliding_window and max_window_layers.
[[nodiscard]] Rule switched_window();
/// Gemma's window on all but every `usual_pattern`-th layer, and layer_types that say so.
[[nodiscard]] Rule alternating_window(std::int64_t usual_pattern, std::int64_t usual_width);

/// Whether the key has a value; a key that this version lacks has none.
[[nodiscard]] const Json* find(const Keys& keys, const std::string& key);
/// The key's value as a number, or `usual`.
[[nodiscard]] double real(const Keys& keys, const std::string& key, double usual);
[[nodiscard]] std::int64_t whole(const Keys& keys, const std::string& key, std::int64_t usual);

}  // namespace trireme::huggingface
