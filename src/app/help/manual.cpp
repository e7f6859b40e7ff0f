// SPDX-License-Identifier: Apache-2.0
// The manual page trireme(1). Descriptions of commands, options and deck keys come from their
// tables. Sections that are equal for every build come from manual_text.hpp.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "trireme/deck/keys.hpp"
#include "trireme/host/build_info.hpp"

#include "command_tree.hpp"
#include "manual_text.hpp"

namespace trireme {
namespace {

/// Escapes text so that roff prints it unchanged.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '-') {
      out += "\\-";
    } else if (c == '\\') {
      out += "\\e";
    } else {
      out += c;
    }
  }
  // At the start of a line, roff would read these characters as a request.
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

/// Wraps text into lines short enough for other programs that read roff.
std::string wrapped(std::string_view page) {
  constexpr std::size_t kColumns = 70;  // such programs count a letter like ≥ several times
  std::string out;
  while (!page.empty()) {
    const std::size_t end = std::min(page.find('\n'), page.size() - 1);
    std::string_view line = page.substr(0, end);
    page.remove_prefix(end + 1);
    while (line.size() > kColumns && !line.starts_with('.')) {
      const std::size_t space = line.rfind(' ', kColumns);
      if (space == std::string_view::npos) break;
      out.append(line.substr(0, space)).append("\n");
      line.remove_prefix(space + 1);
      if (line.starts_with('.') || line.starts_with('\'')) out += "\\&";
    }
    out.append(line).append("\n");
  }
  return out;
}

std::string bold(std::string_view text) { return "\\fB" + plain(text) + "\\fR"; }
std::string slanted(std::string_view text) { return "\\fI" + plain(text) + "\\fR"; }

/// The line of an option: names and value.
std::string usage(const Argument& a) {
  if (a.positional) {
    return a.repeated ? slanted(a.names.front()) + " ..." : slanted(a.names.front());
  }
  std::string names;
  for (const std::string& name : a.names) names += (names.empty() ? "" : ", ") + bold(name);
  if (!a.choices.empty()) {
    return names + " " + plain(fmt::format("{}", fmt::join(a.choices, "|")));
  }
  return a.value.empty() ? names : names + " " + slanted(a.value);
}

/// `trireme plan [options] --ranks INT [DECK ...]`
std::string synopsis(const Command& command) {
  std::string line = ".B trireme " + plain(command.name) + "\n[\\fIoptions\\fR]";
  for (const Argument& a : command.arguments) {
    if (a.required && !a.positional) line += " " + usage(a);
  }
  for (const Argument& a : command.arguments) {
    if (a.positional) line += a.required ? " " + usage(a) : " [" + usage(a) + "]";
  }
  return line + "\n.br\n";
}

std::string arguments(const Command& command) {
  std::string out;
  for (const Argument& a : command.arguments) {
    out += fmt::format(".TP\n{}\n{}.\n", usage(a), plain(a.help));
  }
  return out;
}

std::string deck_keys() {
  std::string out;
  deck::Draft defaults;
  for (const deck::Section& section : deck::key_sections()) {
    out += fmt::format(".SS {}\n", plain(section.title));
    for (const deck::Key& key : section.keys) {
      out += fmt::format(".TP\n{}\n{} ({}).\n", bold(key.path), plain(key.doc),
                         plain(deck::key_facts(key, defaults)));
    }
  }
  return out;
}

}  // namespace

std::string manual(const Command& program) {
  std::string out = fmt::format(".TH TRIREME 1 {} \"Trireme {}\" \"User Commands\"\n",
                                TRIREME_DATE, kVersion);
  out +=
      ".SH NAME\ntrireme \\- train GPT\\-NeoX\\-style transformers under MPI\n.SH SYNOPSIS\n";
  out += kLaunchSynopsis;
  for (const Command& command : program.commands) out += synopsis(command);
  out += ".B trireme\n\\fB\\-\\-help\\fR | \\fB\\-\\-version\\fR\n";
  out += kDescription;
  out += ".SH COMMANDS\n";
  for (const Command& command : program.commands) {
    out += fmt::format(".SS {}\n{}.\n{}", plain(command.name), plain(command.summary),
                       arguments(command));
  }
  out += ".SH OPTIONS\nThese options replace a command.\n" + arguments(program);
  out += kDecks;
  out += deck_keys();
  out += kAround;
  return wrapped(out);
}

}  // namespace trireme
