// SPDX-License-Identifier: Apache-2.0
// The command line as plain data, and what is made from it: the manual page and completions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace trireme {

/// An option or a positional argument.
struct Argument {
  std::vector<std::string> names;    ///< "--set", "-h"; of a positional its one name, "DECK"
  std::string value;                 ///< what it takes: "FILE"; empty: nothing
  std::vector<std::string> choices;  ///< the only values that are taken; empty: any
  std::string help;
  bool positional = false;
  bool required = false;
  bool repeated = false;  ///< takes several values, or may stand several times
};

/// The program itself, or one of its commands.
struct Command {
  std::string name;
  std::string summary;
  std::vector<Argument> arguments;  ///< in the order of --help
  std::vector<Command> commands;    ///< the program's; empty of a command
};

// Kinds of Argument::value that completions know.
inline constexpr const char* kFileValue = "FILE";
inline constexpr const char* kFolderValue = "FOLDER";
inline constexpr const char* kSettingValue = "KEY=VALUE";
/// The positional argument that names decks.
inline constexpr const char* kDeckArgument = "DECK";

[[nodiscard]] Command command_tree(const CLI::App& app);

/// trireme(1) in roff's man macros: every command, option and deck key.
[[nodiscard]] std::string manual(const Command& program);

/// A script that teaches a shell the commands, options, deck keys and their values. To be
/// sourced, or put where the shell looks for completions. Throws Error for a shell that isn't
/// bash, zsh or fish.
[[nodiscard]] std::string completion(const Command& program, std::string_view shell);

}  // namespace trireme
