// SPDX-License-Identifier: Apache-2.0
// Follows brackets and quotes through a YAML text, line by line.
#include "yaml_error.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace trireme::deck {
namespace {

struct Mark {
  char kind = 0;  ///< the bracket or quote
  int line = 0;
  int column = 0;
};

/// Reads a text up to a position, and knows what is open there.
class Scan {
 public:
  /// Stops before (line, column); 0: reads all.
  Scan(std::string_view text, int line, int column) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (line > 0 && std::pair(line_, column_) >= std::pair(line, column)) return;
      i += read(text, i);
    }
  }

  std::vector<Mark> brackets;  ///< open ones, outermost first
  Mark quote;                  ///< the open one; kind 0: none
  Mark long_quote;             ///< the last quoted text that ended in a later line
  int long_quote_end = 0;      ///< the line where it ended

 private:
  /// Reads the character at `i`. Returns how many more characters were read with it.
  std::size_t read(std::string_view text, std::size_t i) {
    const char c = text[i];
    std::size_t more = 0;
    if (c == '\n') {
      ++line_;
      column_ = 1;
      comment_ = false;
      fresh_ = true;
      return 0;
    }
    if (quote.kind != 0) {
      const bool escaped = (quote.kind == '"' && c == '\\') ||
                           (quote.kind == '\'' && c == '\'' && text.substr(i + 1, 1) == "'");
      if (escaped && text.substr(i + 1, 1) != "\n") {
        more = 1;
      } else if (c == quote.kind) {
        close_quote();
      }
    } else if (!comment_) {
      outside(c);
    }
    column_ += 1 + static_cast<int>(more);
    return more;
  }

  void close_quote() {
    if (line_ > quote.line) {
      long_quote = quote;
      long_quote_end = line_;
    }
    quote = {};
    fresh_ = false;
  }

  void outside(char c) {
    const bool in_flow = !brackets.empty();
    if (c == '#' && (before_ == ' ' || before_ == '\t' || column_ == 1)) {
      comment_ = true;
    } else if ((c == '"' || c == '\'') && fresh_) {
      quote = {c, line_, column_};
    } else if ((c == '[' || c == '{') && (fresh_ || in_flow)) {
      brackets.push_back({c, line_, column_});
    } else if ((c == ']' || c == '}') && in_flow) {
      brackets.pop_back();
    }
    const bool begins_value =
        c == ':' || c == '-' || c == ',' || c == '[' || c == '{' || c == '?';
    if (c != ' ' && c != '\t') fresh_ = begins_value;
    before_ = c;
  }

  int line_ = 1;
  int column_ = 1;
  bool comment_ = false;
  bool fresh_ = true;  ///< whether a value may begin here
  char before_ = ' ';
};

std::string_view line_of(std::string_view text, int line) {
  for (int i = 1; i < line; ++i) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

std::size_t indent_of(std::string_view line) {
  return std::min(line.find_first_not_of(" \t"), line.size());
}

bool says_something(std::string_view line) {
  const std::string_view rest = line.substr(indent_of(line));
  return !rest.empty() && rest.front() != '#' && rest != "\r";
}

/// The nearest line above `line` that is neither empty nor a comment; 0 if there is none.
int line_above(std::string_view text, int line) {
  for (int above = line - 1; above > 0; --above) {
    if (says_something(line_of(text, above))) return above;
  }
  return 0;
}

bool has_colon(std::string_view line) {
  const std::size_t at = line.find(':');
  return at != std::string_view::npos;
}

/// What an unexpected end of a bracket means.
std::optional<YamlFault> bracket_fault(std::string_view text, const YamlFault& found) {
  const Scan here(text, found.line, found.column);
  if (here.brackets.empty()) return std::nullopt;
  const Mark open = here.brackets.back();
  const Scan whole(text, 0, 0);
  const int above = line_above(text, found.line);
  if (whole.brackets.empty() && open.line < found.line && above > 0) {
    const std::string_view line = line_of(text, above);
    const auto end = static_cast<int>(line.find_last_not_of(" \t\r"));
    return YamlFault{above, end + 2, "a comma is missing at the end of this line"};
  }
  return YamlFault{open.line, open.column, fmt::format("this {} is never closed", open.kind)};
}

}  // namespace

YamlFault true_fault(std::string_view text, const YamlFault& found) {
  const std::string_view message = found.message;
  const Scan here(text, found.line, found.column);
  if (here.long_quote.kind != 0 && here.long_quote_end == found.line) {
    return {here.long_quote.line, here.long_quote.column,
            fmt::format("the quote that opens here closes only in line {}", found.line)};
  }
  if (message.find("flow not found") != std::string_view::npos) {
    if (const auto fault = bracket_fault(text, found)) return *fault;
  }
  if (message == "illegal flow end" && !here.brackets.empty()) {
    return {found.line, found.column,
            fmt::format("this bracket does not fit the {} that line {} opens",
                        here.brackets.back().kind, here.brackets.back().line)};
  }
  constexpr const char* kNoColon = "a colon is missing in this line: expects key: value";
  const std::string_view line = line_of(text, found.line);
  if (message == "end of map not found" && !has_colon(line)) {
    return {found.line, static_cast<int>(indent_of(line)) + 1, kNoColon};
  }
  const int above = line_above(text, found.line);
  if (message != "illegal map value" || above == 0) return found;
  const std::string_view before = line_of(text, above);
  const std::size_t indent = indent_of(line);
  if (line.substr(0, indent).find('\t') != std::string_view::npos) {
    return {found.line, 1, "a tab cannot indent; use blanks"};
  }
  if (!has_colon(before)) {
    return {above, static_cast<int>(indent_of(before)) + 1, kNoColon};
  }
  if (indent > indent_of(before)) {
    return {found.line, static_cast<int>(indent) + 1,
            fmt::format("this line is indented, but line {} has its value already", above)};
  }
  return found;
}

std::optional<YamlFault> open_quote(std::string_view text) {
  const Scan scan(text, 0, 0);
  if (scan.quote.kind == 0) return std::nullopt;
  return YamlFault{scan.quote.line, scan.quote.column,
                   "the quote that opens here never closes"};
}

std::string shown_line(std::string_view text, const YamlFault& fault) {
  constexpr std::size_t kShown = 90;
  constexpr std::size_t kBefore = 60;  // bytes shown before the column, at most
  std::string_view line = line_of(text, fault.line);
  std::size_t column =
      std::min(static_cast<std::size_t>(std::max(fault.column, 1)) - 1, line.size());
  std::size_t begin = column > kBefore ? column - kBefore : 0;
  const auto inner = [&](std::size_t i) {
    return i < line.size() && (static_cast<unsigned char>(line[i]) & 0xc0U) == 0x80U;
  };
  while (inner(begin)) ++begin;
  std::size_t end = std::min(begin + kShown, line.size());
  while (inner(end)) --end;
  line = line.substr(begin, end - begin);
  column -= begin;
  std::string shown(line);
  std::ranges::replace_if(
      shown, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, ' ');
  const auto width = std::ranges::count_if(line.substr(0, column), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
  });
  return fmt::format("\n  {}\n  {:>{}}", shown, "^", width + 1);
}

}  // namespace trireme::deck
