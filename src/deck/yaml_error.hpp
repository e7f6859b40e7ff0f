// SPDX-License-Identifier: Apache-2.0
// Where a broken YAML text is wrong, as a person would say it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trireme::deck {

/// A fault of a text. Line and column are counted from 1; a column counts bytes.
struct YamlFault {
  int line = 0;
  int column = 0;
  std::string message;
};

/// The fault behind one that a parser found. Parsers report where a text can go on no longer;
/// an open bracket, an open quote or a missing colon stands in an earlier line. Without such a
/// cause, returns the fault itself.
[[nodiscard]] YamlFault true_fault(std::string_view text, const YamlFault& found);

/// A quote that is open at the end of the text, which the parser accepts.
[[nodiscard]] std::optional<YamlFault> open_quote(std::string_view text);

/// Two lines for below a message, each indented by two blanks: the fault's line, shortened
/// around its column, and a caret. Control characters are shown as blanks.
[[nodiscard]] std::string shown_line(std::string_view text, const YamlFault& fault);

}  // namespace trireme::deck
