// SPDX-License-Identifier: Apache-2.0
// The command line, and the only code that catches all errors: one rank prints one line, and
// all ranks end.
#include "trireme/app/program.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <iostream>
#include <new>
#include <unistd.h>

#include "trireme/backend/cpu.hpp"
#include "trireme/backend/cuda.hpp"
#include "trireme/comm/launcher.hpp"
#include "trireme/core/log.hpp"
#include "trireme/h5/file.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/process_settings.hpp"
#include "trireme/host/terminal.hpp"

#include "command_line.hpp"
#include "deck_files.hpp"
#include "help/topics.hpp"
#include "stop.hpp"

namespace trireme {

namespace {

/// Marks errors that depend on the command line alone, as every rank meets them.
void same_everywhere(const std::function<void()>& f) {
  try {
    f();
  } catch (Error& e) {
    e.set_everywhere();
    throw;
  }
}

void run_prepare(CommandLine& line, const MpiSession& mpi) {
  PrepareOptions& options = line.prepare_options;
  same_everywhere([&] {
    TRM_REQUIRE(options.inputs.empty() != options.images.empty(),
                "prepare takes --input, texts, or --images: name one of them");
  });
  if (!options.images.empty()) return prepare_images(options, mpi.world());
  same_everywhere([&] {
    options.separator = unescape(line.separator);
    static_cast<void>(text_format_of(options));
  });
  options.threads = threads_of_rank(line.prepare_threads, node_processors(mpi));
  const PrepareSummary summary = prepare(options, mpi.world());
  if (mpi.world().rank() == 0) report_prepared(options, summary);
}

/// Refuses options of convert's other form, which would change nothing.
void refuse_options(const CLI::App& command, std::initializer_list<const char*> names,
                    const char* form) {
  for (const char* name : names) {
    TRM_REQUIRE(command.count(name) == 0, "{} has no meaning for {}", name, form);
  }
}

void run_convert(CommandLine& line) {
  const std::vector<std::string>& paths = line.convert_paths;
  if (paths.size() == 2) {
    refuse_options(
        *line.convert,
        {"--vocab-size", "--end-of-document", "--type", "--append-eod", "--overwrite"},
        "a model: `convert data` takes this option");
    line.model_options.from = paths[0];
    line.model_options.to = paths[1];
    convert_model(line.model_options);
    return;
  }
  TRM_REQUIRE(paths[0] == "data", "convert takes two paths, or the word data and two paths");
  refuse_options(*line.convert, {"--dtype", "--max-shard-size", "--family", "--adapters"},
                 "data: a model takes this option");
  line.convert_options.from = paths[1];
  line.convert_options.to = paths[2];
  convert_data(line.convert_options);
}

/// Whether this process is rank 0, as the launcher says; MPI isn't running yet.
bool speaks_for_all() { return launched_rank(std::getenv).value_or(0) == 0; }

void require_deck(const CommandLine& line, const char* name) {
  TRM_REQUIRE(!line.deck.files.empty(),
              "{} needs a deck: trireme {} DECK.yml (inputs/ has examples)", name, name);
}

void check_eval(const CommandLine& line) {
  TRM_REQUIRE(
      !line.deck.files.empty(),
      "eval needs a model: trireme eval RUN, with a run's or a checkpoint's folder, or a "
      "deck");
  TRM_REQUIRE(!line.eval_options.data.empty() || !line.eval_options.tasks.empty(),
              "eval needs something to measure: --data or --tasks");
}

/// A dash behind the model's name stands for prompts from standard input.
void complete_generate(CommandLine& line) {
  auto& files = line.deck.files;
  GenerateCommand& command = line.generate_command;
  command.chats = line.generate->count("--chat") > 0;
  if (files.size() > 1 && files.back() == "-") {
    TRM_REQUIRE(command.prompts.empty() && command.prompt_file.empty(),
                "- reads prompts from standard input: leave out --prompt and --prompt-file");
    command.prompt_file = "-";
    files.pop_back();
  }
  TRM_REQUIRE(!files.empty(),
              "generate needs a model: trireme generate RUN, with a run's or a checkpoint's "
              "folder, or a deck");
}

/// Runs a command that needs no MPI; says whether the command line names one.
bool run_without_ranks(CommandLine& line) {
  const bool show = line.show->parsed();
  if (!show && !line.validate->parsed() && !line.keys->parsed() && !line.tokenize->parsed() &&
      !line.deck_of_model->parsed()) {
    return false;
  }
  if (!speaks_for_all()) return true;
  if (line.tokenize->parsed()) {
    tokenize(line.tokenize_options, std::cin, std::cout);
    return true;
  }
  if (line.deck_of_model->parsed()) {
    print_deck_of_model(line.model_folder);
    return true;
  }
  if (line.keys->parsed()) {
    print_keys(line.keys_options);
    return true;
  }
  require_deck(line, show ? "show" : "validate");
  if (show) {
    show_deck(line.deck, line.show_options);
  } else {
    validate_deck(line.deck, line.validate_ranks);
  }
  return true;
}

/// Runs the command, and returns the exit code.
int run_command(CommandLine& line, const MpiSession& mpi, StartClock& clock) {
  if (line.prepare->parsed()) {
    run_prepare(line, mpi);
    return 0;
  }
  if (line.convert->parsed()) {
    if (mpi.world().rank() == 0) run_convert(line);
    return 0;
  }
  const auto& checkpoints = line.verify_options.checkpoints;
  if (!checkpoints.empty()) {  // verify --checkpoint A B is inspect A --diff B
    line.inspect_options = {.checkpoint = checkpoints[0], .other = checkpoints[1]};
  }
  if (line.inspect->parsed() || !checkpoints.empty()) {
    return mpi.world().rank() == 0 ? inspect(line.inspect_options) : 0;
  }
  if (line.eval->parsed()) {
    same_everywhere([&] { check_eval(line); });
    return eval(line.deck, line.eval_options, mpi);
  }
  if (line.generate->parsed()) {
    same_everywhere([&] { complete_generate(line); });
    return generate(line.deck, line.generate_command, mpi);
  }
  const char* name = line.train->parsed()    ? "train"
                     : line.plan->parsed()   ? "plan"
                     : line.verify->parsed() ? "verify"
                                             : "bench";
  same_everywhere([&] {
    require_deck(line, name);
    check_deck_files(name, line.deck.files);
  });
  if (line.train->parsed()) return train(line.deck, line.train_options, mpi, clock);
  if (line.plan->parsed()) return plan(line.deck, line.plan_options, mpi.world());
  if (line.verify->parsed()) return verify(line.deck, line.verify_options, mpi);
  bench(line.deck, line.bench_options, mpi);
  return 0;
}

/// Rank 0 reports an error that all ranks meet; the other ranks wait until rank 0 ends them.
constexpr unsigned kPatienceSeconds = 10;
constexpr useconds_t kPrecedenceMicroseconds = 300'000;

/// Prints one line for the error and ends all ranks. Returns the exit code if this rank is the
/// only rank.
int end_all(const std::string& message, bool everywhere, const Communicator* world) {
  restore_stop_signals();  // the launcher ends all ranks, of which nothing more is to be said
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
  // A limit of file sizes (ulimit -f) then fails the write, as a full disk does.
  std::signal(SIGXFSZ, SIG_IGN);
  use_process_settings(argv);
  raise_open_files();
  set_cuda_environment(launched_processes(std::getenv).count > 1);
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
    if (run_without_ranks(line)) return 0;
    const MpiSession mpi = clock.time("MPI", [&] { return MpiSession(argc, argv); });
    log::start(mpi.world().rank(), host_name());
    log::set_loudness(line.quiet     ? log::Loudness::quiet
                      : line.verbose ? log::Loudness::verbose
                                     : log::Loudness::usual);
    try {
      return run_command(line, mpi, clock);
    } catch (const Error& e) {
      return end_all(e.what(), e.everywhere(), &mpi.world());
    } catch (const std::bad_alloc&) {
      return end_all(
          "out of memory: the system gave this process no more. `trireme plan` says "
          "what a run takes",
          false, &mpi.world());
    } catch (const std::exception& e) {
      return end_all(e.what(), false, &mpi.world());
    }
  } catch (const std::exception& e) {
    return end_all(e.what(), false, nullptr);
  }
}

}  // namespace trireme
