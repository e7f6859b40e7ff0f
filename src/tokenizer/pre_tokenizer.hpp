// SPDX-License-Identifier: Apache-2.0
// PreTokenizer: splits text into the pieces that a model encodes one by one, as "pre_tokenizer"
// of a tokenizer.json asks.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "section.hpp"

namespace trireme {

/// The pieces of one section, end to end. No piece is empty.
struct Pieces {
  std::string text;               ///< valid UTF-8
  std::vector<std::size_t> ends;  ///< where each piece ends in `text`, ascending
  Section section;

  [[nodiscard]] std::size_t begin_of(std::size_t piece) const {
    return piece == 0 ? 0 : ends[piece - 1];
  }
  [[nodiscard]] std::string_view piece(std::size_t i) const {
    return std::string_view(text).substr(begin_of(i), ends[i] - begin_of(i));
  }
};

/// Immutable, so threads may share it.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Splits each piece further. May also change or remove text.
  virtual void split(Pieces& pieces) const = 0;
  /// True only if every text is split between these code points. The pieces on each side must
  /// not depend on the text of the other side. `false` is always right.
  [[nodiscard]] virtual bool separates(char32_t before, char32_t after) const {
    (void)before, (void)after;
    return false;
  }
};

/// Returns null if `spec` is JSON's null. Throws Error that begins with `where` and names a
/// type or field that is unknown, missing or of the wrong kind.
[[nodiscard]] std::unique_ptr<PreTokenizer> make_pre_tokenizer(const nlohmann::json& spec,
                                                               const std::string& where);
/// Like make_pre_tokenizer(), for all types but ByteLevel, Split and Sequence.
[[nodiscard]] std::unique_ptr<PreTokenizer> make_plain_pre_tokenizer(const nlohmann::json& spec,
                                                                     const std::string& where);

}  // namespace trireme
