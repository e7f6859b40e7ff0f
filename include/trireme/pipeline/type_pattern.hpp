// SPDX-License-Identifier: Apache-2.0
// Regular expressions for pipe_partition_method: type:REGEX. A deck's pattern must not keep a
// run from starting, so matching takes time in proportion to pattern × text. Backtracking
// matchers such as std::regex can take years.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

namespace trireme {

/// A regular expression with the syntax of Python's `re`, which DeepSpeed uses, without regard
/// to case: literals . [] () (?:) | * + ? {m,n} ^ $ \d \w \s. It has no look-around, no \b and
/// no back-references.
class TypePattern {
 public:
  static constexpr std::size_t kMostBytes = 200;
  static constexpr std::size_t kMostStates = 4000;

  /// Throws Error that says what is wrong with the pattern.
  explicit TypePattern(std::string_view pattern);
  /// Whether the pattern matches anywhere in the text.
  [[nodiscard]] bool found_in(std::string_view text) const;

 private:
  friend class TypePatternParser;
  /// A state of Thompson's automaton (CACM 11(6), 1968).
  struct State {
    enum class Kind : std::uint8_t { jump, bytes, begin, end } kind = Kind::jump;
    std::bitset<256> bytes;  ///< where kind is bytes
    int next = -1;
    int other = -1;  ///< a second way, of Kind::jump
  };
  std::vector<State> states_;
  int first_ = 0;
  int last_ = 0;
};

}  // namespace trireme
