// SPDX-License-Identifier: Apache-2.0
// Writes the classes of regular expressions out as ranges, so that the version of Unicode which
// a library knows does not matter.
#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "trireme/core/error.hpp"

#include "pattern.hpp"
#include "unicode.hpp"

namespace trireme {

namespace {

using Ranges = std::vector<std::pair<char32_t, char32_t>>;  // first and last, ascending

constexpr std::array<std::string_view, 30> kNames = {
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
    "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};

Ranges ranges_where(const std::function<bool(char32_t)>& has) {
  Ranges ranges;
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if ((c >= 0xd800 && c < 0xe000) || !has(c)) continue;
    if (!ranges.empty() && ranges.back().second + 1 == c) {
      ranges.back().second = c;
    } else {
      ranges.emplace_back(c, c);
    }
  }
  return ranges;
}

Ranges ranges_of_category(std::string_view name, bool other) {
  return ranges_where([&](char32_t c) {
    const std::string_view own = kNames.at(static_cast<std::size_t>(category(c)));
    return (own.substr(0, name.size()) == name) != other;
  });
}

bool is_category(std::string_view name) {
  for (const std::string_view known : kNames) {
    if (known == name || known.substr(0, 1) == name) return true;
  }
  return false;
}

std::string text_of(const Ranges& ranges) {
  std::string text;
  for (const auto& [first, last] : ranges) {
    text += fmt::format("\\x{{{:x}}}", static_cast<unsigned>(first));
    if (last > first) text += fmt::format("-\\x{{{:x}}}", static_cast<unsigned>(last));
  }
  return text;
}

/// What stands behind a backslash, if it is a class: its ranges, and the characters it takes.
struct Escape {
  std::string ranges;
  std::size_t length = 0;
};

/// Oniguruma's \w: other numbers of Latin-1 too, but no joiners.
bool is_oniguruma_word(char32_t c) {
  if (c == 0x200c || c == 0x200d) return false;
  return is_word(c) || (c < 0x100 && category(c) == Category::No);
}

Escape read_escape(std::string_view rest, std::string_view expression, Flavour flavour,
                   const std::string& where) {
  const char kind = rest.empty() ? '\0' : rest.front();
  const auto named = [&](bool (*has)(char32_t), bool other) {
    return Escape{text_of(ranges_where([&](char32_t c) { return has(c) != other; })), 1};
  };
  const auto is_digit = [](char32_t c) { return category(c) == Category::Nd; };
  switch (kind) {
    case 's':
    case 'S':
      return named(is_white_space, kind == 'S');
    case 'w':
    case 'W':
      return named(flavour == Flavour::rust ? is_word : is_oniguruma_word, kind == 'W');
    case 'd':
    case 'D':
      return named(is_digit, kind == 'D');
    case 'p':
    case 'P':
      break;
    default:
      return {};
  }
  std::string_view name = rest.substr(1, 1);
  std::size_t length = 2;
  if (name == "{") {
    const std::size_t end = rest.find('}');
    TRM_REQUIRE(end != std::string_view::npos,
                "{}: the regular expression {} has no end of \\p{{", where, expression);
    name = rest.substr(2, end - 2);
    length = end + 1;
  }
  bool other = kind == 'P';
  if (!name.empty() && name.front() == '^') {
    other = !other;
    name.remove_prefix(1);
  }
  // Scripts and other properties are PCRE2's.
  if (!is_category(name)) return {};
  return {text_of(ranges_of_category(name, other)), length};
}

/// Refuses what libraries read in different ways. Refusing too much does no harm.
void refuse_ambiguous(std::string_view expression, Flavour flavour, const std::string& where) {
  const auto refuse = [&](std::string_view part, std::string_view advice) {
    TRM_REQUIRE(expression.find(part) == std::string_view::npos,
                "{}: the regular expression {} has \"{}\", which libraries read in different "
                "ways: {}",
                where, expression, part, advice);
  };
  refuse("\\h", "write the characters");
  refuse("\\H", "write the characters");
  refuse("\\R", "write [\\r\\n]");
  refuse("\\X", "write the characters");
  if (flavour != Flavour::oniguruma) return;
  // {1,3}+ repeats a repetition there, and never gives back elsewhere.
  for (std::size_t at = expression.find("}+"); at != std::string_view::npos;
       at = expression.find("}+", at + 1)) {
    const std::size_t brace = expression.substr(0, at).find_last_not_of("0123456789,");
    TRM_REQUIRE(brace == std::string_view::npos || expression[brace] != '{',
                "{}: the regular expression {} has \"{}\", which libraries read in different "
                "ways: write (?>...) for a repetition that never gives back",
                where, expression, expression.substr(brace, at + 2 - brace));
  }
  refuse("(?m", "leave the option out");
  refuse("(?s", "leave the option out");
}

}  // namespace

std::string with_explicit_classes(std::string_view expression, Flavour flavour,
                                  const std::string& where) {
  refuse_ambiguous(expression, flavour, where);
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    if (c == '\\') {
      const Escape escape = read_escape(expression.substr(i + 1), expression, flavour, where);
      if (escape.length == 0) {  // another escape stays, with what it escapes
        out += c;
        if (++i < expression.size()) out += expression[i];
        continue;
      }
      out += in_class ? escape.ranges : "[" + escape.ranges + "]";
      i += escape.length;
      continue;
    }
    if (c == '[' && in_class && expression.substr(i, 2) == "[:") {  // [:alpha:]
      throw Error(
          fmt::format("{}: the regular expression {} has a class of POSIX, which is "
                      "not supported: write \\p{{...}}",
                      where, expression));
    }
    TRM_REQUIRE(!(in_class && c == '[') && !(in_class && expression.substr(i, 2) == "&&"),
                "{}: the regular expression {} has a class within a class, which is not "
                "supported",
                where, expression);
    if (c == '[' && !in_class) {
      in_class = true;
      out += c;
      // A bracket that comes first in a class stands for itself.
      if (expression.substr(i + 1, 1) == "^") out += expression[++i];
      if (expression.substr(i + 1, 1) == "]") {
        out += "\\]";
        ++i;
      }
      continue;
    }
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

}  // namespace trireme
