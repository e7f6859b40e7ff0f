// SPDX-License-Identifier: Apache-2.0
// The commands of the program, their options, and the values that these get.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "trireme/bench/bench.hpp"
#include "trireme/deck/load.hpp"

#include "convert_data.hpp"
#include "convert_model.hpp"
#include "decks.hpp"
#include "eval.hpp"
#include "generate.hpp"
#include "inspect.hpp"
#include "plan.hpp"
#include "prepare.hpp"
#include "tokenize.hpp"
#include "train.hpp"
#include "verify.hpp"

namespace trireme {

inline constexpr const char* kCommands =
    "train, generate, eval, bench, plan, verify, validate, show, deck, keys, prepare, "
    "tokenize, convert, inspect or help";

/// Checks of numbers. Those of CLI11 print the range's end with all its 309 digits.
[[nodiscard]] CLI::Validator not_negative();
[[nodiscard]] CLI::Validator positive();

struct CommandLine {
  CLI::App app{
      "Trireme trains GPT-NeoX-style transformers: mpirun -np N trireme train DECK.yml"};
  CLI::App* train = nullptr;
  CLI::App* eval = nullptr;
  CLI::App* generate = nullptr;
  CLI::App* bench = nullptr;
  CLI::App* prepare = nullptr;
  CLI::App* tokenize = nullptr;
  CLI::App* convert = nullptr;
  CLI::App* inspect = nullptr;
  CLI::App* plan = nullptr;
  CLI::App* validate = nullptr;
  CLI::App* show = nullptr;
  CLI::App* keys = nullptr;
  CLI::App* deck_of_model = nullptr;
  CLI::App* verify = nullptr;
  CLI::App* help = nullptr;
  DeckSource deck;
  TrainOptions train_options;
  EvalOptions eval_options;
  GenerateCommand generate_command;
  BenchOptions bench_options;
  PrepareOptions prepare_options;
  TokenizeOptions tokenize_options;
  ConvertDataOptions convert_options;
  ConvertModelOptions model_options;
  std::string model_folder;
  InspectOptions inspect_options;
  PlanOptions plan_options;
  ShowOptions show_options;
  KeysOptions keys_options;
  int validate_ranks = 0;
  VerifyOptions verify_options;
  std::string separator;
  int prepare_threads = 0;
  std::vector<std::string> convert_paths;  ///< FROM and TO, after the word data or not
  std::string topic;
  CLI::Option* help_keys = nullptr;
  std::string keys_about;  ///< words of --help-keys
  bool quiet = false;
  bool verbose = false;

  CommandLine();

 private:
  void add_train();
  void add_eval();
  void add_eval_data(CLI::App& command);
  void add_generate();
  void add_sampling();
  void add_loudness(CLI::App& command);
  void add_deck(CLI::App& command);
  void add_plan();
  void add_deck_commands();
  void add_verify();
  void add_prepare();
  void add_prepare_input(CLI::App& command);
  void add_prepare_documents(CLI::App& command);
  void add_tokenizer(CLI::App& command, TokenizerSource& source);
  void add_bench();
  void add_tokenize();
  void add_convert();
  void add_convert_data(CLI::App& command);
  void add_inspect();
};

}  // namespace trireme
