// SPDX-License-Identifier: Apache-2.0
// Declares each command's options to CLI11.
#include "command_line.hpp"

#include "trireme/host/build_info.hpp"
#include "trireme/host/engine.hpp"

#include "help/command_tree.hpp"

namespace trireme {

namespace {

/// Prints a text instead of running a command, as --version does.
[[noreturn]] void print_instead(const std::string& text) { throw CLI::CallForVersion(text, 0); }

CLI::Validator number_that(bool (*holds)(double), const char* rule, const char* name) {
  return {[holds, rule](const std::string& text) {
            double number = 0;
            if (!CLI::detail::lexical_cast(text, number)) return text + " is no number";
            return holds(number) ? std::string() : text + " is not " + rule;
          },
          name};
}

}  // namespace

CLI::Validator not_negative() {
  return number_that([](double x) { return x >= 0; }, "0 or more", "NONNEGATIVE");
}

CLI::Validator positive() {
  return number_that([](double x) { return x > 0; }, "above 0", "POSITIVE");
}

CommandLine::CommandLine() {
  app.require_subcommand(1);
  app.set_version_flag("--version", [] {
    return fmt::format("trireme {}\n{}\n{}", version_text(), build_text(), libraries_text());
  });
  app.add_flag_callback(
      "--manual", [this] { print_instead(manual(command_tree(app))); },
      "Prints the manual page, for man -l -");
  app.add_option_function<std::string>(
         "--completion",
         [this](const std::string& shell) {
           print_instead(completion(command_tree(app), shell));
         },
         "Prints a shell's completions, to be sourced")
      ->type_name("SHELL")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  train = app.add_subcommand("train", "Trains the model of one or several decks");
  add_train();
  add_generate();
  add_eval();
  add_bench();
  add_prepare();
  add_tokenize();
  add_convert();
  add_inspect();
  add_plan();
  add_deck_commands();
  add_verify();
  help = app.add_subcommand("help", "Explains a topic, a command or a deck key");
  help->add_option("TOPIC", topic, "A topic, a command, or a word such as lr; none lists them");
}

void CommandLine::add_bench() {
  bench =
      app.add_subcommand("bench", "Measures speed and memory of a deck on synthetic tokens");
  add_deck(*bench);
  bench->add_option("--steps", bench_options.steps, "Steps to measure, after one to warm up")
      ->check(CLI::Range(1, 1'000'000));
  bench->add_option("--json", bench_options.json, "File for the figures, one JSON object")
      ->type_name(kFileValue);
  auto* against =
      bench
          ->add_option("--against", bench_options.against,
                       "key=value over the decks: alternates steps of the deck with and "
                       "without these settings, and compares their times")
          ->type_name(kSettingValue)
          ->take_all();
  auto* update = bench->add_flag("--update", bench_options.update,
                                 "Measures AdamW alone, and the rate of memory");
  update->excludes(against);
  bench
      ->add_flag("--kernels", bench_options.kernels,
                 "Measures each kernel of a step, and the rates of GEMMs and copies")
      ->excludes(against)
      ->excludes(update);
  bench
      ->add_option("--machine", bench_options.machine,
                   "Measures this job's machine, and writes its rates to a file for plan")
      ->type_name(kFileValue)
      ->excludes(against)
      ->excludes(update)
      ->excludes("--kernels")
      ->excludes("--steps")
      ->excludes("--json");
}

void CommandLine::add_train() {
  add_deck(*train);
  train->add_flag("--check", train_options.check,
                  "Prints the resolved deck and the model's tensors, and ends");
  train->add_flag("--force", train_options.force,
                  "Starts even where the forecast of memory is far above the machine's");
  help_keys = train
                  ->add_option("--help-keys", keys_about,
                               "Describes the deck keys about WORD, or all keys, and ends")
                  ->type_name(kWordValue)
                  ->expected(0, 1);
  add_loudness(*train);
}

void CommandLine::add_loudness(CLI::App& command) {
  auto* less = command.add_flag(
      "-q,--quiet", quiet, "Prints warnings and errors alone; a run's log.txt keeps all lines");
  command
      .add_flag("-v,--verbose", verbose,
                "Shows every host and stage, and each file of data with its documents")
      ->excludes(less);
}

void CommandLine::add_deck(CLI::App& command) {
  command
      .add_option(
          kDeckArgument, deck.files,
          "Decks, YAML or JSON, with the keys of GPT-NeoX and DeepSpeed; later decks win")
      ->type_name(kFileValue);
  command.add_option("--set", deck.overrides, "key=value over the decks; dots for nested keys")
      ->type_name(kSettingValue)
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
}

void CommandLine::add_plan() {
  plan = app.add_subcommand("plan",
                            "Forecasts memory, messages, schedule and checkpoints of a run "
                            "of any size, in one process");
  add_deck(*plan);
  plan->add_option("--ranks", plan_options.ranks, "Ranks of the run")
      ->required()
      ->check(CLI::Range(1, 1'000'000));
  plan->add_option("--ranks-per-node", plan_options.ranks_per_node,
                   "Ranks on each node, for checkpoint: {writers_per_node: N}")
      ->check(CLI::Range(1, 100'000));
  plan->add_option("--json", plan_options.json, "File for the figures, one JSON object")
      ->type_name(kFileValue);
  PlanTimeOptions& time = plan_options.time;
  plan->add_option("--machine", time.machine,
                   "A machine's rates, from which the time of a step is predicted")
      ->type_name(kFileValue);
  plan->add_option("--device-memory", time.device_memory,
                   "Memory that a rank may take, such as 80GiB. Limits --search, or says what "
                   "takes the memory, with exit code 1 if a rank does not fit")
      ->type_name("SIZE");
  plan->add_flag("--search", time.search,
                 "Finds the ten fastest layouts of mesh, micro-batch, ZeRO and recompute");
  plan->add_flag("--explain", time.explain, "Says why the deck is slower than the best layout");
  plan->add_option("--write", time.write, "File for the best layout, as a deck")
      ->type_name(kFileValue);
  plan->add_option("--timeline", time.timeline, "File for the schedule as a picture (SVG)")
      ->type_name(kFileValue);
}

void CommandLine::add_deck_commands() {
  validate = app.add_subcommand(
      "validate", "Checks decks as a start would, without memory, data or other ranks");
  add_deck(*validate);
  validate
      ->add_option("--ranks", validate_ranks,
                   "Ranks of the run; by default the fewest that the deck asks for")
      ->check(CLI::Range(1, 100'000'000));
  show =
      app.add_subcommand("show", "Prints the resolved deck, with where each value came from");
  add_deck(*show);
  show->add_option("--ranks", show_options.ranks,
                   "Ranks of the run, which determine the batch sizes")
      ->check(CLI::Range(1, 100'000'000));
  show->add_flag("--json", show_options.json, "Prints JSON instead of YAML");
  deck_of_model =
      app.add_subcommand("deck", "Prints the deck that trains on from a Hugging Face model");
  deck_of_model
      ->add_option("FOLDER", model_folder, "The model's folder, which holds config.json")
      ->type_name(kFolderValue)
      ->required();
  keys = app.add_subcommand("keys", "Explains the keys of decks");
  keys->add_option(kPatternArgument, keys_options.pattern,
                   "Part of a key's name or meaning, in which * stands for any text");
  keys->add_flag("--markdown", keys_options.markdown,
                 "Prints all keys as the tables of the reference page");
}

void CommandLine::add_verify() {
  VerifyOptions& options = verify_options;
  verify = app.add_subcommand("verify",
                              "Holds the layout of a deck against one rank: outputs, loss, "
                              "gradients and parameters of some steps");
  add_deck(*verify);
  auto* steps = verify->add_option("--steps", options.steps, "Steps to compare")
                    ->check(CLI::Range(1, 1000))
                    ->capture_default_str();
  auto* json = verify->add_option("--json", options.json, "File for the result, as JSON")
                   ->type_name(kFileValue);
  auto* all =
      verify->add_flag("--all", options.all, "Prints every tensor, not the worst ten alone");
  verify
      ->add_option("--checkpoint", options.checkpoints,
                   "Compares two checkpoints bit by bit instead, as inspect --diff does")
      ->type_name(kFolderValue)
      ->expected(2)
      ->excludes(verify->get_option(kDeckArgument))
      ->excludes(verify->get_option("--set"))
      ->excludes(steps)
      ->excludes(json)
      ->excludes(all);
}

void CommandLine::add_tokenizer(CLI::App& command, TokenizerSource& source) {
  command
      .add_option("--tokenizer", source.name,
                  "bytes, characters, or a tokenizer's file or folder: Hugging Face's "
                  "tokenizer.json, GPT-2's vocab.json, .tiktoken, tekken.json, SentencePiece")
      ->type_name(kFileValue)
      ->capture_default_str();
  command
      .add_option("--merges", source.merges,
                  "GPT-2's merges; by default merges.txt beside vocab.json")
      ->type_name(kFileValue);
  command
      .add_option("--encoding", source.encoding,
                  "Whose pattern and special tokens go with a .tiktoken file, which holds "
                  "neither; OpenAI's and Qwen's files are recognised")
      ->check(CLI::IsMember(tokenizer_encodings()));
  command
      .add_option("--end-of-document", source.end_of_document,
                  "The token that ends a document; by default what the tokenizer's files say")
      ->type_name("TOKEN");
  command.add_flag("--allow-special", source.allow_special,
                   "Text that spells a special token of a .tiktoken file or tekken.json, such "
                   "as <|endoftext|>, is this token; by default it stays text");
}

void CommandLine::add_tokenize() {
  TokenizeOptions& options = tokenize_options;
  tokenize = app.add_subcommand("tokenize",
                                "Turns text from standard input into token ids, or ids into "
                                "text");
  add_tokenizer(*tokenize, options.source);
  auto* decode = tokenize->add_flag("--decode", options.decode, "Turns ids into text");
  auto* pieces = tokenize->add_flag("--pieces", options.pieces,
                                    "Prints a line for each token: its id and its text");
  pieces->excludes(decode);
  tokenize->add_flag("--count", options.count, "Prints the numbers of bytes and tokens alone")
      ->excludes(decode)
      ->excludes(pieces);
  tokenize->add_flag("--null", options.separate,
                     "Texts end with a NUL each, as find -print0 writes, and ids with a line");
  tokenize
      ->add_flag("--surround", options.surround,
                 "Adds what the tokenizer puts around a document, such as its first token")
      ->excludes(decode);
}

void CommandLine::add_convert() {
  ConvertModelOptions& options = model_options;
  convert = app.add_subcommand("convert",
                               "Converts a Hugging Face model to a checkpoint, a checkpoint to "
                               "such a model, or after the word data tokens to another format");
  convert
      ->add_option("PATH", convert_paths,
                   "FROM and TO. The word data before them says that FROM holds tokens. TO is "
                   "then a token file if its name ends in .h5, else PREFIX of PREFIX.bin and "
                   ".idx")
      ->type_name(kFileValue)
      ->required()
      ->expected(2, 3);
  convert
      ->add_option("--dtype", options.type,
                   "Type of a model's tensors; by default that of the values in FROM")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}));
  convert
      ->add_option("--max-shard-size", options.most_bytes,
                   "Most bytes of a Hugging Face file, such as 2GB")
      ->type_name("SIZE")
      ->capture_default_str();
  convert
      ->add_option("--family", options.model_type,
                   "The model_type to write, such as mistral; by default the first that fits")
      ->type_name("NAME");
  convert->add_flag("--ema", options.averages,
                    "Writes the moving average of a checkpoint's weights (key ema)");
  convert->add_flag("--adapters", options.adapters,
                    "Writes a checkpoint's adapters alone, as PEFT loads them; otherwise they "
                    "are merged into the weights");
  add_convert_data(*convert);
  add_loudness(*convert);
}

void CommandLine::add_convert_data(CLI::App& command) {
  ConvertDataOptions& options = convert_options;
  command
      .add_option("--vocab-size", options.vocab_size,
                  "Number of ids, where the data don't say it")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{2'147'483'647}));
  command
      .add_option("--end-of-document", options.end_of_document,
                  "Id that ends documents, where the data don't say it")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{2'147'483'646}));
  command
      .add_option("--type", options.type,
                  "Type of tokens in PREFIX.bin; by default uint16 for vocabularies below "
                  "65500, else int32, as in Megatron")
      ->check(CLI::IsMember({"uint8", "int8", "int16", "int32", "int64", "uint16"}));
  command.add_flag("--append-eod", options.append_eod,
                   "Adds the end to documents of PREFIX.bin that have none");
  command.add_flag("--overwrite", options.overwrite, "Replaces files of the output's names");
}

void CommandLine::add_inspect() {
  InspectOptions& options = inspect_options;
  inspect = app.add_subcommand("inspect",
                               "Shows what a checkpoint or a token file holds, verifies it, "
                               "or compares two checkpoints");
  inspect
      ->add_option("CHECKPOINT", options.checkpoint,
                   "A checkpoint's folder, a run's folder (its latest checkpoint), or data")
      ->type_name(kFileValue)
      ->required();
  auto* step = inspect
                   ->add_option("--step", options.step,
                                "For a run's folder: which documents, offsets and tokens this "
                                "training step saw")
                   ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 53U));
  inspect
      ->add_option("--sample", options.sample,
                   "With --step: all ids and the text of this sample of the step")
      ->needs(step)
      ->check(not_negative());
  inspect
      ->add_option("--document", options.document,
                   "For data: the ids and the text of this document")
      ->check(not_negative())
      ->excludes(step);
  inspect->add_flag("--verify", options.verify, "Reads every byte against its checksums");
  inspect->add_flag("--deck", options.deck, "Prints the checkpoint's deck");
  inspect->add_flag("--optimizer", options.optimizer, "Lists the tensors of the optimizer too");
  inspect
      ->add_option(
          "--diff", options.other,
          "Compares bit by bit with this checkpoint: exit code 0 if all tensors are equal, "
          "else 1. Differences in iteration, seed, … are printed but don't count")
      ->type_name(kFolderValue)
      ->excludes("--deck");
}

}  // namespace trireme
