// SPDX-License-Identifier: Apache-2.0
// Completions for bash, zsh and fish. The scripts contain all words, so pressing Tab starts no
// program.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "trireme/deck/keys.hpp"

#include "command_tree.hpp"
#include "completion_scripts.hpp"

namespace trireme {
namespace {

/// The values of a deck key that a shell can offer.
struct KeyWords {
  std::string path;
  std::string help;
  std::vector<std::string> values;  ///< the only values; empty: other values are possible
  bool files = false;
};

std::vector<KeyWords> key_words() {
  std::vector<KeyWords> keys;
  deck::Draft draft;
  for (const deck::Section& section : deck::key_sections()) {
    for (const deck::Key& key : section.keys) {
      KeyWords words{.path = std::string(key.path),
                     .help = std::string(key.doc),
                     .values = {},
                     .files = {}};
      const deck::Field field = key.field(draft);
      if (std::holds_alternative<bool*>(field)) words.values = {"true", "false"};
      if (const auto* choice = std::get_if<deck::Enumerated>(&field)) {
        for (const deck::Choice& c : choice->choices) {
          if (c.refusal.empty()) words.values.emplace_back(c.name);
        }
      }
      words.files = std::holds_alternative<std::string*>(field) ||
                    std::holds_alternative<std::vector<std::string>*>(field);
      keys.push_back(std::move(words));
    }
  }
  return keys;
}

/// Whether an argument's value names deck keys.
bool names_keys(const Argument& a) {
  return a.value == kWordValue || (a.positional && a.names.front() == kPatternArgument);
}

/// Quotes one word for any of the three shells.
std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// Replaces each @NAME@ in the script.
std::string filled(std::string script,
                   const std::vector<std::pair<std::string_view, std::string>>& parts) {
  for (const auto& [name, text] : parts) {
    const std::size_t at = script.find(name);
    TRM_CHECK(at != std::string::npos, "a completion script has no mark {}", name);
    script.replace(at, name.size(), text);
  }
  return script;
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

std::vector<std::string> option_names(const Command& command) {
  std::vector<std::string> names;
  for (const Argument& a : command.arguments) {
    if (!a.positional) names.insert(names.end(), a.names.begin(), a.names.end());
  }
  return names;
}

/// The bash code that sets an argument's completions: words, a kind of words, or none.
std::string bash_kind(const Argument& a) {
  if (!a.choices.empty()) return " words=" + in_quotes(joined(a.choices));
  if (a.value == kSettingValue) return " kind='setting'";
  if (names_keys(a)) return " words=$keys";
  if (a.positional && a.names.front() == kDeckArgument) return " kind='deck'";
  if (a.value == kFileValue) return " kind='file'";
  return a.value == kFolderValue ? " kind='folder'" : "";
}

struct BashCases {
  std::string options;
  std::string positionals;
  std::string values;
  void add(const Command& command, const std::string& name);
};

/// The bash code for a command's positional arguments, of which the last may be repeated.
std::string bash_positionals(const Command& command) {
  std::vector<std::string> kinds;
  for (const Argument& a : command.arguments) {
    if (a.positional) kinds.push_back(bash_kind(a));
  }
  if (kinds.size() == 1) return kinds.front();
  std::string text;
  for (std::size_t i = 0; i + 1 < kinds.size(); ++i) {
    text += fmt::format(" {} ((COMP_CWORD == i + {})); then{};", i == 0 ? "if" : "elif", i + 1,
                        kinds[i].empty() ? " :" : kinds[i]);
  }
  if (kinds.empty()) return text;
  return fmt::format("{} else{}; fi", text, kinds.back().empty() ? " :" : kinds.back());
}

void BashCases::add(const Command& command, const std::string& name) {
  options += fmt::format("          {}) words={} ;;\n", in_quotes(name),
                         in_quotes(joined(option_names(command))));
  for (const Argument& a : command.arguments) {
    if (!a.positional && !a.value.empty()) {
      for (const std::string& option : a.names) {
        values += fmt::format("    {}){} ;;\n", in_quotes(fmt::format("{} {}", name, option)),
                              bash_kind(a));
      }
    }
  }
  const std::string kinds = bash_positionals(command);
  if (std::ranges::any_of(command.arguments, &Argument::positional)) {
    positionals += fmt::format("          {}){} ;;\n", in_quotes(name), kinds);
  }
}

std::string bash_completion(const Command& program) {
  BashCases cases;
  std::vector<std::string> commands;
  cases.add(program, "");
  for (const Command& command : program.commands) {
    commands.push_back(command.name);
    cases.add(command, command.name);
  }
  std::vector<std::string> paths;
  std::string choices;
  for (const KeyWords& key : key_words()) {
    paths.push_back(key.path);
    if (!key.values.empty()) {
      choices +=
          fmt::format("      {}) words={} ;;\n", key.path, in_quotes(joined(key.values)));
    } else if (key.files) {
      choices += fmt::format("      {}) kind='file' ;;\n", key.path);
    }
  }
  return filled(kBashScript, {{"@commands@", in_quotes(joined(commands))},
                              {"@keys@", in_quotes(joined(paths))},
                              {"@values@", cases.values},
                              {"@options@", cases.options},
                              {"@positionals@", cases.positionals},
                              {"@choices@", choices}});
}

std::string zsh_action(const Argument& a) {
  if (!a.choices.empty()) return "(" + joined(a.choices) + ")";
  if (a.value == kSettingValue) return "_trireme_setting";
  if (names_keys(a)) return "_trireme_key";
  if (a.positional && a.names.front() == kDeckArgument) {
    return "_files -g \"*.(yml|yaml|json)(-.)\"";
  }
  if (a.value == kFileValue) return "_files";
  return a.value == kFolderValue ? "_files -/" : "";
}

/// Specifications for zsh's _arguments, one a name.
std::string zsh_arguments(const Command& command) {
  std::string out;
  for (const Argument& a : command.arguments) {
    const std::string help = escaped(a.help, "[]\\:");
    if (a.positional) {
      out += fmt::format("        {} \\\n",
                         in_quotes(fmt::format("{}:{}:{}", a.repeated ? "*" : "1",
                                               a.names.front(), zsh_action(a))));
      continue;
    }
    for (const std::string& name : a.names) {
      std::string text = fmt::format("{}{}[{}]", a.repeated ? "*" : "", name, help);
      if (!a.value.empty()) text += fmt::format(":{}:{}", a.value, zsh_action(a));
      out += fmt::format("        {} \\\n", in_quotes(text));
    }
  }
  return out;
}

std::string zsh_completion(const Command& program) {
  std::string commands;
  std::string cases;
  for (const Command& command : program.commands) {
    commands += fmt::format("        {}\n",
                            in_quotes(escaped(command.name, ":") + ":" + command.summary));
    cases +=
        fmt::format("      {})\n        _arguments \\\n{}          && return 0\n        ;;\n",
                    command.name, zsh_arguments(command));
  }
  std::string keys;
  std::vector<std::string> paths;
  for (const KeyWords& key : key_words()) {
    paths.push_back(key.path);
    std::string text = fmt::format("{}[{}]:value:", key.path, escaped(key.help, "[]\\:"));
    if (!key.values.empty()) text += "(" + joined(key.values) + ")";
    if (key.files) text += "_files";
    keys += fmt::format("    {} \\\n", in_quotes(text));
  }
  return filled(kZshScript, {{"@keys@", keys},
                             {"@paths@", joined(paths)},
                             {"@commands@", commands},
                             {"@general@", zsh_arguments(program)},
                             {"@cases@", cases}});
}

/// Lines of fish's `complete`, one an option.
std::string fish_options(const Command& command, std::string_view condition) {
  std::string out;
  for (const Argument& a : command.arguments) {
    std::string line = fmt::format("complete -c trireme -n {}", in_quotes(condition));
    if (a.positional) {
      if (names_keys(a)) out += line + " -f -a '(__trireme_keys)'\n";
      if (a.names.front() != kDeckArgument) continue;  // fish offers files by default
      out += line + " -k -a '(__fish_complete_suffix .json .yaml .yml)'\n";
      continue;
    }
    for (const std::string& name : a.names) {
      const bool is_long = name.starts_with("--");
      line += fmt::format(" {} {}", is_long ? "-l" : "-s", name.substr(is_long ? 2 : 1));
    }
    if (!a.choices.empty()) {
      line += fmt::format(" -x -a {}", in_quotes(joined(a.choices)));
    } else if (a.value == kSettingValue) {
      line += " -x -a '(__trireme_settings)'";
    } else if (names_keys(a)) {
      line += " -x -a '(__trireme_keys)'";
    } else if (a.value == kFolderValue) {
      line += " -x -a '(__fish_complete_directories)'";
    } else if (!a.value.empty()) {
      line += a.value == kFileValue ? " -r" : " -x";
    }
    out += fmt::format("{} -d {}\n", line, in_quotes(a.help));
  }
  return out;
}

std::string fish_completion(const Command& program) {
  std::string lines = fish_options(program, "__fish_use_subcommand");
  for (const Command& command : program.commands) {
    lines += fmt::format("complete -c trireme -f -n __fish_use_subcommand -a {} -d {}\n",
                         command.name, in_quotes(command.summary));
    lines += fish_options(command, "__fish_seen_subcommand_from " + command.name);
  }
  std::vector<std::string> settings;
  for (const KeyWords& key : key_words()) {
    const auto add = [&](const std::string& value) {
      settings.push_back(
          fmt::format("        {} {}", in_quotes(key.path + "=" + value), in_quotes(key.help)));
    };
    if (key.values.empty()) add("");
    std::ranges::for_each(key.values, add);
  }
  return filled(kFishScript, {{"@settings@", fmt::format("{}", fmt::join(settings, " \\\n"))},
                              {"@lines@", lines}});
}

}  // namespace

std::string completion(const Command& program, std::string_view shell) {
  if (shell == "zsh") return zsh_completion(program);
  if (shell == "fish") return fish_completion(program);
  TRM_REQUIRE(shell == "bash", "no completion for '{}': bash, zsh or fish", shell);
  return bash_completion(program);
}

}  // namespace trireme
