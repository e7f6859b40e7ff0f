// SPDX-License-Identifier: Apache-2.0
// Regular expressions of tokenizers, on PCRE2. Classes such as \s and \p{L} have the meaning
// of unicode.hpp, not that of the installed library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace trireme {

/// Whose rules a tokenizer's file is written for.
enum class Flavour : std::uint8_t {
  oniguruma,  ///< Hugging Face: ^ and $ stand at the ends of every line
  rust,       ///< tiktoken: ^ and $ stand at the ends of the text
};

struct Match {
  std::size_t begin;
  std::size_t end;
};

/// Immutable, so threads may share it.
class Pattern {
 public:
  /// Throws Error that begins with `where` if the expression is malformed, or has a part whose
  /// meaning differs between libraries.
  Pattern(const std::string& expression, Flavour flavour, const std::string& where);
  ~Pattern();
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  /// The leftmost match in valid UTF-8 from offset `from` on. What stands before `from` can be
  /// seen by assertions. Throws Error if the search takes too much memory or time.
  [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from) const;
  [[nodiscard]] const std::string& expression() const { return expression_; }

 private:
  std::string expression_;
  std::string where_;
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

/// The expression with classes written out as ranges of code points.
[[nodiscard]] std::string with_explicit_classes(std::string_view expression, Flavour flavour,
                                                const std::string& where);

}  // namespace trireme
