// SPDX-License-Identifier: Apache-2.0
// Regular expressions for names: of parameters, and of layers in pipe_partition_method. A
// deck's pattern must not keep a run from starting. RE2 matches in time proportional to the
// text, where backtracking matchers such as std::regex can take years.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace re2 {
class RE2;
}

namespace trireme {

/// A regular expression in RE2's syntax. This is the syntax of Python's `re` without
/// look-around and back-references.
class NamePattern {
 public:
  static constexpr std::size_t kMostBytes = 200;
  enum class Case : bool { matters, ignored };

  /// Throws Error that says what is wrong with the pattern.
  explicit NamePattern(std::string_view pattern, Case letters = Case::matters);
  ~NamePattern();
  NamePattern(NamePattern&&) noexcept;
  NamePattern& operator=(NamePattern&&) noexcept;

  /// Whether the pattern matches anywhere in the text.
  [[nodiscard]] bool found_in(std::string_view text) const;
  /// Whether the pattern matches the whole text.
  [[nodiscard]] bool matches(std::string_view text) const;

 private:
  std::unique_ptr<re2::RE2> pattern_;
};

}  // namespace trireme
