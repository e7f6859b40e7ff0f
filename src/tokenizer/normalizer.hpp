// SPDX-License-Identifier: Apache-2.0
// Normalizer: changes text before any splitting, as "normalizer" of a tokenizer.json asks.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "section.hpp"

namespace trireme {

/// Immutable, so threads may share it.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Replaces `text`, valid UTF-8, by its normal form, also valid UTF-8.
  virtual void apply(std::string& text, const Section& section) const = 0;
  /// True only if any text can be normalised in two parts that meet between these code points.
  /// The parts' normal forms, joined, are then the whole's. `false` is always right.
  [[nodiscard]] virtual bool separates(char32_t before, char32_t after) const {
    (void)before, (void)after;
    return false;
  }
  /// What a code point becomes, if that is one code point whatever stands around it.
  [[nodiscard]] virtual std::optional<char32_t> form_of(char32_t c) const {
    (void)c;
    return std::nullopt;
  }
};

/// Returns null if `spec` is JSON's null. Throws Error that begins with `where` and names a
/// type or field that is unknown, missing or of the wrong kind.
[[nodiscard]] std::unique_ptr<Normalizer> make_normalizer(const nlohmann::json& spec,
                                                          const std::string& where);

}  // namespace trireme
