// SPDX-License-Identifier: Apache-2.0
// Declares the options of `trireme eval` to CLI11.
#include "command_line.hpp"
#include "help/command_tree.hpp"

namespace trireme {

void CommandLine::add_eval() {
  EvalOptions& options = eval_options;
  eval = app.add_subcommand("eval",
                            "Measures a model: its loss on texts, and what it gets right in "
                            "tasks");
  add_deck(*eval);
  eval->get_option(kDeckArgument)
      ->description(
          "A run's, a checkpoint's or a Hugging Face model's folder, or the decks of a "
          "run");
  add_eval_data(*eval);
  auto* tasks = eval->add_option("--tasks", options.tasks,
                                 "Tasks, YAML files such as those in inputs/tasks")
                    ->type_name(kFileValue);
  eval->add_option("--task-data", options.task_data,
                   "Folder of the tasks' data; by default the folder of each task")
      ->type_name(kFolderValue)
      ->needs(tasks);
  eval->add_option("--shots", options.shots,
                   "Examples with answers before each question, instead of the task's number")
      ->check(CLI::Range(0, 1000))
      ->needs(tasks);
  eval->add_option("--seed", options.seed, "Chooses the examples before each question")
      ->capture_default_str()
      ->needs(tasks);
  eval->add_option("--samples", options.samples,
                   "File for each question with what the model did, as JSON lines")
      ->type_name(kFileValue)
      ->needs(tasks);
  eval->add_option("--limit", options.limit,
                   "Only the first questions of each task, and the first documents of data")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 53U));
  eval->add_option("--json", options.json, "File for all results, one JSON object")
      ->type_name(kFileValue);
  add_loudness(*eval);
}

void CommandLine::add_eval_data(CLI::App& command) {
  EvalOptions& options = eval_options;
  auto* data =
      command
          .add_option("--data", options.data,
                      "Tokens or text whose loss to measure: token files, PREFIX of Megatron's "
                      ".bin and .idx, shards of llm.c, plain text, JSON lines")
          ->type_name(kFileValue);
  command
      .add_option("--json-keys", options.json_keys,
                  "The key of the text in JSON lines, as prepare takes it; by default text")
      ->needs(data);
  command
      .add_option("--document-separator", options.separator,
                  "Separator between documents of plain text; \\n, \\t, \\xHH are understood")
      ->needs(data);
  command
      .add_option("--length", options.length,
                  "Tokens that the model reads at once; by default the deck's seq_length")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40U))
      ->needs(data);
  command
      .add_option("--stride", options.stride,
                  "Tokens from one window to the next; by default the length. More than length "
                  "- stride tokens stand before each token that counts")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40U))
      ->needs(data);
  command
      .add_option(
          "--by-document", options.by_document,
          "Measures each document by itself, and writes JSON lines of them to this file")
      ->type_name(kFileValue)
      ->needs(data);
  command.add_flag("--ema", options.averages,
                   "Evaluates the moving average of a checkpoint's weights (key ema)");
  command
      .add_flag("--skip-ends", options.skip_ends,
                "Leaves out how well the model predicts the ends of documents")
      ->needs(data);
}

}  // namespace trireme
