// SPDX-License-Identifier: Apache-2.0
// Reads CLI11's own tree, so that manual and completions agree with the command line.
#include "command_tree.hpp"

#include <CLI/CLI.hpp>

#include "trireme/deck/keys.hpp"

namespace trireme {
namespace {

Argument argument_of(const CLI::Option& option) {
  Argument argument;
  argument.positional = option.get_positional();
  if (argument.positional) argument.names.push_back(option.get_single_name());
  for (const std::string& name : option.get_snames()) argument.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) argument.names.push_back("--" + name);
  if (option.get_items_expected_max() > 0) {
    // For example "SHELL:{bash,zsh}": the checks of a value describe the value after its name.
    const std::string type = option.get_type_name();
    const std::size_t colon = std::min(type.find(':'), type.size());
    argument.value = type.substr(0, colon);
    if (type.substr(colon).starts_with(":{") && type.ends_with('}')) {
      argument.choices =
          deck::split_words(type.substr(colon + 2, type.size() - colon - 3), ',');
    }
  }
  argument.help = option.get_description();
  argument.required = option.get_required();
  argument.repeated = option.get_expected_max() > 1 ||
                      option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  return argument;
}

}  // namespace

Command command_tree(const CLI::App& app) {
  Command command{.name = app.get_name(),
                  .summary = app.get_description(),
                  .arguments = {},
                  .commands = {}};
  for (const CLI::Option* option : app.get_options()) {
    command.arguments.push_back(argument_of(*option));
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    command.commands.push_back(command_tree(*sub));
  }
  return command;
}

}  // namespace trireme
