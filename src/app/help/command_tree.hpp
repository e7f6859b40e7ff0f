// SPDX-License-Identifier: Apache-2.0
// The command line as plain data, from which the manual page and completions are made.
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
  /// "--set", "-h"; for a positional argument its only name, "DECK"
  std::vector<std::string> names;
  std::string value;  ///< the value's name, "FILE"; empty: the option takes no value
  std::vector<std::string> choices;  ///< the only accepted values; empty: any value
  std::string help;
  bool positional = false;
  bool required = false;
  bool repeated = false;  ///< accepts several values, or may be repeated
};

/// The program itself, or one of its commands.
struct Command {
  std::string name;
  std::string summary;
  std::vector<Argument> arguments;  ///< in the order of --help
  std::vector<Command> commands;    ///< the program's commands; empty for a command
};

// Kinds of Argument::value that completions know.
inline constexpr const char* kFileValue = "FILE";
inline constexpr const char* kFolderValue = "FOLDER";
inline constexpr const char* kSettingValue = "KEY=VALUE";
inline constexpr const char* kWordValue = "WORD";  ///< a key's name, or a part of it
/// The positional argument that names decks.
inline constexpr const char* kDeckArgument = "DECK";
/// The positional argument that names deck keys.
inline constexpr const char* kPatternArgument = "PATTERN";

[[nodiscard]] Command command_tree(const CLI::App& app);

/// The manual page trireme(1) in roff's man macros: every command, option and deck key.
[[nodiscard]] std::string manual(const Command& program);

/// A script that gives a shell completions for commands, options, deck keys and their values.
/// Source the script, or put it where the shell looks for completions. Throws Error for a shell
/// other than bash, zsh or fish.
[[nodiscard]] std::string completion(const Command& program, std::string_view shell);

}  // namespace trireme
