// SPDX-License-Identifier: Apache-2.0
// Filters of templates.
#include "text_filters.hpp"

#include <algorithm>
#include <array>
#include <utf8proc.h>

namespace trireme::tasks {

namespace {

struct Character {
  char32_t value;
  std::size_t bytes;
};

/// The character at `at`. A byte that begins none stands for itself.
Character character_at(std::string_view text, std::size_t at) {
  utf8proc_int32_t value = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at);
  const auto n =
      utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size() - at), &value);
  if (n < 1) return {static_cast<unsigned char>(text[at]), 1};
  return {static_cast<char32_t>(value), static_cast<std::size_t>(n)};
}

void append(std::string& to, utf8proc_int32_t value) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto n = utf8proc_encode_char(value, bytes.data());
  to.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(n));
}

std::string strip(std::string_view text) { return std::string(stripped(text)); }

/// The first character as a title begins, and small letters behind.
std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  const Character first = character_at(text, 0);
  std::string to;
  append(to, utf8proc_totitle(static_cast<utf8proc_int32_t>(first.value)));
  return to + lowered(text.substr(first.bytes));
}

std::string last_word(std::string_view text) {
  return std::string(text.substr(text.rfind(' ') + 1));  // npos + 1 is 0
}

std::string but_last_word(std::string_view text) {
  const std::size_t space = text.rfind(' ');
  return std::string(text.substr(0, space == std::string_view::npos ? 0 : space));
}

/// Blanks for the low lines of a name.
std::string words(std::string_view text) {
  std::string to(text);
  std::ranges::replace(to, '_', ' ');
  return to;
}

struct Named {
  std::string_view name;
  Filter filter;
};
constexpr std::array<Named, 6> kFilters{
    {{"strip", strip},
     {"capitalize", capitalize},
     {"lower", [](std::string_view t) { return lowered(t); }},
     {"last_word", last_word},
     {"but_last_word", but_last_word},
     {"words", words}}};

}  // namespace

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
         c == 0x202f || c == 0x205f || c == 0x3000;
}

std::size_t trailing_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t at = end - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80) --at;
    if (!is_space(character_at(text, at).value)) break;
    end = at;
  }
  return text.size() - end;
}

std::string_view stripped(std::string_view text) {
  text.remove_suffix(trailing_space(text));
  while (!text.empty()) {
    const Character first = character_at(text, 0);
    if (!is_space(first.value)) break;
    text.remove_prefix(first.bytes);
  }
  return text;
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80; }));
}

std::string lowered(std::string_view text) {
  std::string to;
  for (std::size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    append(to, utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value)));
    at += c.bytes;
  }
  return to;
}

Filter find_filter(std::string_view name) {
  const auto* at = std::ranges::find(kFilters, name, &Named::name);
  return at == kFilters.end() ? nullptr : at->filter;
}

std::vector<std::string> filter_names() {
  std::vector<std::string> names;
  for (const Named& known : kFilters) names.emplace_back(known.name);
  return names;
}

}  // namespace trireme::tasks
