// SPDX-License-Identifier: Apache-2.0
// The table of keys as text: for the terminal, and as the reference page.
#include <algorithm>
#include <cctype>
#include <sstream>

#include "trireme/deck/keys.hpp"

namespace trireme {
namespace {

using deck::KnownKey;
using deck::Standing;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// "integer ≥ 1; default 4; also as ALIAS; from Megatron"
std::string facts_of(const KnownKey& key) {
  std::string facts = fmt::format("{}; {}", key.type,
                                  key.usual == "required" ? key.usual : "default " + key.usual);
  if (!key.aliases.empty()) facts += fmt::format("; also as {}", key.aliases);
  return facts + fmt::format("; from {}", name_of(key.origin));
}

std::string standing_of(const KnownKey& key) {
  return key.advice.empty() ? std::string(name_of(key.standing))
                            : fmt::format("{}: {}", name_of(key.standing), key.advice);
}

void add_text(const KnownKey& key, std::string& out) {
  out += fmt::format("  {}: {}\n      {}\n", key.path, key.doc, facts_of(key));
  if (key.standing != Standing::honoured) out += fmt::format("      {}\n", standing_of(key));
}

/// Whether a pattern, in which * stands for any text, occurs in the text.
bool occurs(std::string_view pattern, std::string_view text) {
  const std::size_t star = pattern.find('*');
  const std::string_view first = pattern.substr(0, star);
  for (std::size_t at = text.find(first); at != std::string_view::npos;
       at = text.find(first, at + 1)) {
    if (star == std::string_view::npos) return true;
    if (occurs(pattern.substr(star + 1), text.substr(at + first.size()))) return true;
    if (first.empty()) return false;
  }
  return false;
}

bool has_word(const KnownKey& key, const std::string& word) {
  std::string name = word;
  std::ranges::replace(name, '-', '_');
  return occurs(name, lower(key.path)) || occurs(name, lower(key.aliases)) ||
         occurs(word, lower(key.doc)) || occurs(word, lower(key.section));
}

/// Whether the key has every word of the pattern.
bool matches(const KnownKey& key, const std::string& pattern) {
  std::istringstream words(lower(pattern));
  bool all = true;
  for (std::string word; words >> word;) all = all && has_word(key, word);
  return all;
}

std::string code(std::string_view text) { return fmt::format("`{}`", text); }

/// A cell of a table: | would end it.
std::string cell(std::string text) {
  for (std::size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) {
    text.replace(at, 1, "\\|");
  }
  return text;
}

}  // namespace

std::string describe_keys(const std::string& pattern) {
  std::string out;
  for (const Standing standing :
       {Standing::honoured, Standing::no_meaning, Standing::not_available}) {
    std::string part;
    std::string section;
    for (const KnownKey& key : deck::known_keys()) {
      if (key.standing != standing || (!pattern.empty() && !matches(key, pattern))) continue;
      if (standing == Standing::honoured && key.section != section) part += key.section + "\n";
      section = key.section;
      add_text(key, part);
    }
    if (part.empty()) continue;
    if (standing == Standing::no_meaning) {
      out += "Keys without effect here (named in a warning)\n";
    } else if (standing == Standing::not_available) {
      out += "Keys that must be off (other values are an error)\n";
    }
    out += part;
  }
  return out;
}

std::string key_reference() {
  std::string out;
  std::string section;
  bool honoured = true;
  for (const KnownKey& key : deck::known_keys()) {
    const bool here = key.standing == Standing::honoured;
    if (here && key.section != section) {
      out += fmt::format(
          "{}### {}\n\n| key | type | default | meaning | from |\n|---|---|---|---|---|\n",
          out.empty() ? "" : "\n", key.section);
    } else if (!here && honoured) {
      out +=
          "\n### Keys of other systems\n\n| key | type | default there | meaning there | from "
          "| here "
          "|\n|---|---|---|---|---|---|\n";
    }
    section = key.section;
    honoured = here;
    const std::string also =
        key.aliases.empty() ? "" : fmt::format("; also {}", code(key.aliases));
    out += fmt::format("| {} | {} | {} | {}{} | {} |{}\n", code(key.path), cell(key.type),
                       code(cell(key.usual)), cell(key.doc), also, name_of(key.origin),
                       here ? "" : fmt::format(" {} |", cell(standing_of(key))));
  }
  return out;
}

}  // namespace trireme
