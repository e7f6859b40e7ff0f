// SPDX-License-Identifier: Apache-2.0
// Regular expressions for pipe_partition_method: type:REGEX. A deck's pattern must not keep a
// run from starting. RE2 matches in time proportional to the text, where backtracking matchers
// such as std::regex can take years.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace re2 {
class RE2;
}

namespace trireme {

/// A regular expression in RE2's syntax, without regard to case. This is the syntax of Python's
/// `re`, which DeepSpeed uses, without look-around and back-references.
class TypePattern {
 public:
  static constexpr std::size_t kMostBytes = 200;

  /// Throws Error that says what is wrong with the pattern.
  explicit TypePattern(std::string_view pattern);
  ~TypePattern();
  TypePattern(const TypePattern&) = delete;
  TypePattern& operator=(const TypePattern&) = delete;

  /// Whether the pattern matches anywhere in the text.
  [[nodiscard]] bool found_in(std::string_view text) const;

 private:
  std::unique_ptr<re2::RE2> pattern_;
};

}  // namespace trireme
