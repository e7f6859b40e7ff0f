// SPDX-License-Identifier: Apache-2.0
// The command line, and the only code that catches all errors: one rank prints one line, and
// all ranks end.
#include "trireme/app/program.hpp"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "trireme/backend/cpu.hpp"
#include "trireme/backend/cuda.hpp"
#include "trireme/bench/bench.hpp"
#include "trireme/comm/launcher.hpp"
#include "trireme/core/log.hpp"
#include "trireme/h5/file.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/terminal.hpp"

#include "deck_files.hpp"
#include "help/command_tree.hpp"
#include "help/topics.hpp"
#include "inspect.hpp"
#include "plan.hpp"
#include "prepare.hpp"
#include "train.hpp"

namespace trireme {

namespace {

constexpr const char* kCommands = "train, bench, plan, prepare, inspect or help";

struct CommandLine {
  CLI::App app{
      "Trireme trains GPT-NeoX-style transformers: mpirun -np N trireme train DECK.yml"};
  CLI::App* train = nullptr;
  CLI::App* bench = nullptr;
  CLI::App* prepare = nullptr;
  CLI::App* inspect = nullptr;
  CLI::App* plan = nullptr;
  CLI::App* help = nullptr;
  DeckSource deck;
  TrainOptions train_options;
  BenchOptions bench_options;
  PrepareOptions prepare_options;
  InspectOptions inspect_options;
  PlanOptions plan_options;
  std::string separator;
  std::string jsonl_key;
  std::string topic;
  CLI::Option* help_keys = nullptr;
  std::string keys_about;  ///< words of --help-keys
  bool quiet = false;
  bool verbose = false;

  CommandLine() {
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
    add_prepare();
    add_inspect();
    add_plan();
    help = app.add_subcommand("help", "Explains a topic, a command or a deck key");
    help->add_option("TOPIC", topic,
                     "A topic, a command, or a word such as lr; none lists them");
  }

  void add_train() {
    add_deck(*train);
    train->add_flag("--check", train_options.check,
                    "Prints the resolved deck and the model's tensors, and ends");
    help_keys = train
                    ->add_option("--help-keys", keys_about,
                                 "Describes the deck keys about WORD, or all keys, and ends")
                    ->type_name("WORD")
                    ->expected(0, 1);
    add_loudness(*train);
  }

  void add_loudness(CLI::App& command) {
    auto* less =
        command.add_flag("-q,--quiet", quiet,
                         "Prints warnings and errors alone; a run's log.txt keeps all lines");
    command
        .add_flag("-v,--verbose", verbose,
                  "Shows every host and stage, and each file of data with its documents")
        ->excludes(less);
  }

  /// Prints a text instead of running a command, as --version does.
  [[noreturn]] static void print_instead(const std::string& text) {
    throw CLI::CallForVersion(text, 0);
  }

  void add_deck(CLI::App& command) {
    command
        .add_option(
            kDeckArgument, deck.files,
            "Decks, YAML or JSON, with the keys of GPT-NeoX and DeepSpeed; later decks win")
        ->type_name(kFileValue);
    command
        .add_option("--set", deck.overrides, "key=value over the decks; dots for nested keys")
        ->type_name(kSettingValue)
        ->take_all()
        ->expected(1)
        ->allow_extra_args(false);
  }

  void add_plan() {
    plan = app.add_subcommand("plan",
                              "Forecasts memory, messages, schedule and checkpoints of a run "
                              "of any size, in one process");
    add_deck(*plan);
    plan->add_option("--ranks", plan_options.ranks, "Ranks of the run")
        ->required()
        ->check(CLI::Range(1, 100'000'000));
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
                     "Memory that a rank may take, such as 80GiB: limits --search; without "
                     "--machine says what takes it, with exit code 1 if a rank does not fit")
        ->type_name("SIZE");
    plan->add_flag("--search", time.search,
                   "Finds the ten fastest layouts of mesh, micro-batch, ZeRO and recompute");
    plan->add_flag("--explain", time.explain,
                   "Says why the deck is slower than the best layout");
    plan->add_option("--write", time.write, "File for the best layout, as a deck")
        ->type_name(kFileValue);
    plan->add_option("--timeline", time.timeline, "File for the schedule as a picture (SVG)")
        ->type_name(kFileValue);
  }

  void add_prepare() {
    prepare = app.add_subcommand("prepare", "Turns text into a file of tokens");
    prepare
        ->add_option("--input", prepare_options.inputs, "Plain text, or JSON lines (*.jsonl)")
        ->type_name(kFileValue)
        ->required();
    prepare->add_option("--output", prepare_options.output, "Token file to write")
        ->type_name(kFileValue)
        ->required();
    prepare->add_flag("--overwrite", prepare_options.overwrite,
                      "Moves a file of the output's name to OUTPUT.before-DATE; otherwise such "
                      "a file is an error");
    prepare->add_option("--jsonl-key", jsonl_key,
                        "Treats inputs as JSON lines; the key of the text");
    prepare->add_option(
        "--document-separator", separator,
        "Separator between documents of plain text; \\n, \\t, \\xHH are understood");
    prepare->add_option("--tokenizer", prepare_options.tokenizer, "bytes")
        ->capture_default_str();
    add_loudness(*prepare);
  }

  void add_inspect() {
    InspectOptions& options = inspect_options;
    inspect = app.add_subcommand(
        "inspect", "Shows what a checkpoint holds, verifies it, or compares two checkpoints");
    inspect
        ->add_option("CHECKPOINT", options.checkpoint,
                     "A checkpoint's folder, or a run's folder (its latest checkpoint)")
        ->type_name(kFolderValue)
        ->required();
    inspect->add_flag("--verify", options.verify, "Reads every byte against its checksums");
    inspect->add_flag("--deck", options.deck, "Prints the checkpoint's deck");
    inspect->add_flag("--optimizer", options.optimizer,
                      "Lists the tensors of the optimizer too");
    inspect
        ->add_option(
            "--diff", options.other,
            "Compares bit by bit with this checkpoint: exit code 0 if all tensors are equal, "
            "else 1. Differences in iteration, seed, … are printed but don't count")
        ->type_name(kFolderValue)
        ->excludes("--deck");
  }
};

/// Marks errors that depend on the command line alone, as every rank meets them.
void same_everywhere(const std::function<void()>& f) {
  try {
    f();
  } catch (Error& e) {
    e.set_everywhere();
    throw;
  }
}

void run_prepare(CommandLine& line, Communicator& world) {
  PrepareOptions& options = line.prepare_options;
  if (line.prepare->count("--jsonl-key") > 0) options.jsonl_key = line.jsonl_key;
  same_everywhere([&] { options.separator = unescape(line.separator); });
  const PrepareSummary s = prepare(options, world);
  log::info("{}: {} tokens in {} documents from {:.1f} MB, {:.1f} MB/s", options.output,
            s.tokens, s.documents, static_cast<double>(s.bytes) * 1e-6,
            static_cast<double>(s.bytes) * 1e-6 / std::max(s.seconds, 1e-9));
  if (s.dropped > 0) log::info("{} empty documents were left out", s.dropped);
}

/// Runs the command, and returns the exit code.
int run_command(CommandLine& line, const MpiSession& mpi, StartClock& clock) {
  if (line.prepare->parsed()) {
    run_prepare(line, mpi.world());
    return 0;
  }
  if (line.inspect->parsed()) {
    return mpi.world().rank() == 0 ? inspect(line.inspect_options) : 0;
  }
  const char* name = line.train->parsed() ? "train" : line.plan->parsed() ? "plan" : "bench";
  same_everywhere([&] {
    TRM_REQUIRE(!line.deck.files.empty(),
                "{} needs a deck: trireme {} DECK.yml (inputs/ has examples)", name, name);
    check_deck_files(name, line.deck.files);
  });
  if (line.train->parsed()) return train(line.deck, line.train_options, mpi, clock);
  if (line.plan->parsed()) return plan(line.deck, line.plan_options, mpi.world());
  bench(line.deck, line.bench_options, mpi);
  return 0;
}

/// Whether this process is rank 0, as the launcher says; MPI isn't running yet.
bool speaks_for_all() { return launched_rank(std::getenv).value_or(0) == 0; }

/// Rank 0 reports an error that all ranks meet; the other ranks wait until rank 0 ends them.
constexpr unsigned kPatienceSeconds = 10;
constexpr useconds_t kPrecedenceMicroseconds = 300'000;

/// Prints one line for the error and ends all ranks. Returns the exit code if this rank is the
/// only rank.
int end_all(const std::string& message, bool everywhere, const Communicator* world) {
  const int rank = world != nullptr ? world->rank() : speaks_for_all() ? 0 : 1;
  if ((everywhere || world == nullptr) && rank != 0) {
    sleep(kPatienceSeconds);
    abort_all_ranks(1);
  }
  // Several ranks can meet one cause at once, such as a bad data file: the lowest rank reports
  // first.
  usleep(static_cast<useconds_t>(std::min(rank, 10)) * kPrecedenceMicroseconds);
  log::error(everywhere || rank == 0
                 ? message
                 : fmt::format("{} (rank {} on {})", message, rank, host_name()),
             live_place().err);
  if (world == nullptr || world->size() > 1) abort_all_ranks(1);
  return 1;
}

/// The first word without a dash; empty if there is none. The caller expected a command there.
std::string unknown_command(const CLI::App& app) {
  for (const std::string& word : app.remaining()) {
    if (!word.starts_with('-')) return word;
  }
  return {};
}

/// Prints help or version, or what is wrong with the command line. Returns the exit code.
int answer(const CommandLine& line, const CLI::ParseError& e) {
  const bool good = e.get_exit_code() == 0;
  if (!speaks_for_all()) {
    if (!good) sleep(kPatienceSeconds);
    return good ? 0 : 1;
  }
  if (good) return line.app.exit(e);
  const std::string word = unknown_command(line.app);
  const CLI::App* command =
      line.app.get_subcommands().empty() ? nullptr : line.app.get_subcommands().front();
  if (command != nullptr) {
    log::error(fmt::format("{} (trireme {} --help)", e.what(), command->get_name()));
  } else if (word.empty()) {
    const bool missing = dynamic_cast<const CLI::RequiredError*>(&e) != nullptr;
    log::error(fmt::format("{} (trireme --help)", missing && line.app.remaining().empty()
                                                      ? fmt::format("no command: {}", kCommands)
                                                      : e.what()));
  } else {
    std::vector<std::string> names;
    for (const auto* known : line.app.get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(known->get_name());
    }
    const std::string near = nearest_name(word, names);
    log::error(fmt::format("unknown command '{}': {}{} (trireme --help)", word, kCommands,
                           near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
  }
  return 1;
}

/// Prints a topic, or the deck keys about a word, without MPI. Returns the exit code.
int explain(const CommandLine& line) {
  if (!speaks_for_all()) return 0;
  try {
    if (line.help->parsed()) {
      fmt::print("{}", help_text(line.app, line.topic));
      return 0;
    }
    const std::string keys = describe_keys(line.keys_about);
    TRM_REQUIRE(!keys.empty(), "no deck key is about '{}'; --help-keys alone lists all keys",
                line.keys_about);
    fmt::print("{}", keys);
    return 0;
  } catch (const Error& e) {
    log::error(e.what());
    return 1;
  }
}

}  // namespace

int run_program(int argc, char** argv) {
  use_best_blas_kernels(argv);
  StartClock clock;
  static_cast<void>(live_place());  // MPI makes a single process look launched
  CommandLine line;
  try {
    line.app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return answer(line, e);
  }
  if (line.help_keys->count() > 0 || line.help->parsed()) return explain(line);
  try {
    const MpiSession mpi = clock.time("MPI", [&] { return MpiSession(argc, argv); });
    log::start(mpi.world().rank(), host_name());
    log::set_loudness(line.quiet     ? log::Loudness::quiet
                      : line.verbose ? log::Loudness::verbose
                                     : log::Loudness::usual);
    try {
      return run_command(line, mpi, clock);
    } catch (const Error& e) {
      return end_all(e.what(), e.everywhere(), &mpi.world());
    } catch (const std::exception& e) {
      return end_all(e.what(), false, &mpi.world());
    }
  } catch (const std::exception& e) {
    return end_all(e.what(), false, nullptr);
  }
}

}  // namespace trireme
