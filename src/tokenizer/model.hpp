// SPDX-License-Identifier: Apache-2.0
// Model: turns one piece of text into ids, as "model" of a tokenizer.json asks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace trireme {

/// Immutable, so threads may share it.
class Model {
 public:
  virtual ~Model() = default;
  /// Appends the ids of one piece, which is not empty. The ids depend on the piece alone, and
  /// callers remember the ids of frequent pieces.
  virtual void encode(std::string_view piece, std::vector<std::int32_t>& ids) const = 0;
  [[nodiscard]] virtual std::optional<std::int32_t> id_of(std::string_view token) const = 0;
  /// The token of an id from 0 to size() − 1; "" for an id that no token has.
  [[nodiscard]] virtual std::string token_of(std::int32_t id) const = 0;
  [[nodiscard]] virtual std::int64_t size() const = 0;  ///< the largest id + 1
  /// True only if no token spans these two code points, so that a piece can be encoded in two
  /// parts that meet between them. `false` is always right.
  [[nodiscard]] virtual bool separates(char32_t before, char32_t after) const {
    (void)before, (void)after;
    return false;
  }
};

/// Throws Error that begins with `where` and names a type or field that is unknown, missing or
/// of the wrong kind. A model without "type" is known by its fields.
[[nodiscard]] std::unique_ptr<Model> make_model(const nlohmann::json& spec,
                                                const std::string& where);
[[nodiscard]] std::unique_ptr<Model> make_word_piece(const nlohmann::json& spec,
                                                     const std::string& where);
[[nodiscard]] std::unique_ptr<Model> make_unigram(const nlohmann::json& spec,
                                                  const std::string& where);
[[nodiscard]] std::unique_ptr<Model> make_word_level(const nlohmann::json& spec,
                                                     const std::string& where);

}  // namespace trireme
