// SPDX-License-Identifier: Apache-2.0
// CharsMap: SentencePiece's compiled table of which text becomes which (precompiled_charsmap).
// A 32-bit size and a double array (https://github.com/s-yata/darts-clone) stand first, then
// the new texts, each ended by a zero byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

class CharsMap {
 public:
  CharsMap() = default;  ///< changes no text
  /// Throws Error that begins with `where` if sizes or offsets in `blob` are impossible.
  CharsMap(std::string_view blob, const std::string& where);

  /// A rule that begins a text: how many bytes it replaces, and by what.
  struct Rule {
    std::size_t bytes = 0;
    std::string_view text;
  };
  [[nodiscard]] std::optional<Rule> shortest(std::string_view text) const;
  [[nodiscard]] std::optional<Rule> longest(std::string_view text) const;
  /// Whether a rule's text may begin with `prefix`, and be longer.
  [[nodiscard]] bool reaches(std::string_view prefix) const;
  /// Whether a rule's text may hold `byte` behind its first byte.
  [[nodiscard]] bool any_holds_behind_first(char byte) const;

 private:
  template <class Take>
  void match(std::string_view text, Take take) const;

  std::vector<std::uint32_t> units_;
  std::string texts_;
};

}  // namespace trireme
