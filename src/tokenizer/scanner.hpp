// SPDX-License-Identifier: Apache-2.0
// Scanners: hand-written programs for the published patterns, which split text into words at
// some hundred megabytes a second. Tests hold each against its pattern on PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "pattern.hpp"

namespace trireme {

/// Immutable, so threads may share it.
class Scanner {
 public:
  virtual ~Scanner() = default;
  /// Splits text[from, …) into words, end to end. Stores where each word ends, until `ends` is
  /// full or the text ends, and returns the number of words. The text may hold any bytes: a
  /// byte that is no UTF-8 counts as a symbol.
  [[nodiscard]] virtual std::size_t scan(std::string_view text, std::size_t from,
                                         std::span<std::size_t> ends) const = 0;
  /// True only if a word always ends between these code points, and neither side's words depend
  /// on the other side.
  [[nodiscard]] virtual bool separates(char32_t before, char32_t after) const = 0;
};

/// The scanner for a pattern, or null if the pattern is none of the published ones.
[[nodiscard]] std::unique_ptr<Scanner> make_scanner(std::string_view expression,
                                                    Flavour flavour);

/// The published patterns.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kCl100kPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+)"
    R"([\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kO200kPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// tiktoken's own forms of two patterns. White space at the end of a text is one word.
inline constexpr std::string_view kTiktokenR50kPattern =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)";
inline constexpr std::string_view kTiktokenCl100kPattern =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++)"
    R"([\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";

}  // namespace trireme
