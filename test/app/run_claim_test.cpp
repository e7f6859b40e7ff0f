// SPDX-License-Identifier: Apache-2.0
// Which files are another run's, and what a start does with them.
#include "../../src/app/run_claim.hpp"

#include <fstream>
#include <iterator>
#include <set>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>

#include "trireme/record/metrics.hpp"
#include "trireme/record/run_folder.hpp"

#include "../../src/app/run_files.hpp"
#include "../deck/examples.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::TemporaryFolder;

Deck deck_of(const std::string& more) { return parse_deck(test::kLeast + more, "x.yml"); }

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The files of a run that trained `steps` steps in the folders of `deck`.
void leave_run(const Deck& deck, std::int64_t steps, bool checkpoint = true) {
  for (const std::string& folder : {deck.save, deck.run_dir, deck.tensorboard_dir}) {
    if (!folder.empty()) fs::create_directories(folder);
  }
  if (!deck.run_folder().empty()) {
    Metrics metrics(deck.run_folder() + "/metrics.h5", 0, {});
    for (std::int64_t i = 1; i <= steps; ++i) {
      StepRecord row;
      row.iteration = i;
      metrics.add(row);
    }
    metrics.finish();
    write_start_files(deck, "start\n");
    write(deck.run_folder() + "/log.txt", "a line\n");
  }
  if (!deck.tensorboard_dir.empty()) {
    write(deck.tensorboard_dir + "/events.out.tfevents.1.host.1", "events");
  }
  if (!checkpoint || deck.save.empty()) return;
  fs::create_directory(fmt::format("{}/global_step{}", deck.save, steps));
  write(deck.save + "/latest", fmt::format("global_step{}\n", steps));
}

/// All that a start does before it loads a checkpoint.
void start(const Deck& deck) {
  const LoadSource source(deck);
  RunClaim claim;
  claim.lock_existing(deck);
  claim.check(deck, source);
  claim.make_ready(deck, source);
}

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

/// All files below a folder, with their content.
std::map<std::string, std::string> everything(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    files[entry.path().string()] = entry.is_regular_file() ? content(entry.path()) : "";
  }
  return files;
}

BOOST_AUTO_TEST_CASE(a_run_inside_a_checkpoint_is_refused) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "a/global_step5");
  write(folder / "a/global_step5/checkpoint.h5", "");
  for (const std::string place : {"a/global_step5", "a/global_step5/b/c"}) {
    const std::string error =
        error_of([&] { start(deck_of("save: " + folder / place + "\n")); });
    BOOST_TEST(error.find("lies in the checkpoint") != error.npos, error);
  }
  start(deck_of("save: " + folder / "a/b" + "\n"));
}

BOOST_AUTO_TEST_CASE(a_start_without_load_is_refused) {
  const TemporaryFolder folder;
  const std::string run = folder / "r";
  const Deck deck = deck_of("save: " + run + "\n");
  start(deck);  // makes the folder
  start(deck);  // nothing was trained there
  leave_run(deck, 3);
  const auto before = everything(run);
  const std::string error = error_of([&] { start(deck); });
  for (const std::string& words :
       {"save: " + run + " holds files of another run: latest, global_step3",
        std::string("No file was changed"), "Set load: " + run + " to go on",
        std::string("Name another save"), std::string("overwrite: true")}) {
    TRM_TEST_MENTIONS(error, words);
  }
  BOOST_TEST((everything(run) == before));
  start(deck_of("save: " + run + "\nload: " + run + "\n"));
  BOOST_TEST((everything(run) == before));
}

BOOST_AUTO_TEST_CASE(overwrite_moves_aside_and_deletes_nothing) {
  const TemporaryFolder folder;
  const std::string run = folder / "r";
  leave_run(deck_of("save: " + run + "\n"), 3);
  write(run + "/notes.txt", "mine");
  auto before = everything(run);
  start(deck_of("save: " + run + "\noverwrite: true\n"));
  const auto names = names_in(run);
  BOOST_REQUIRE(names.size() == 2U);
  BOOST_TEST(names.contains("notes.txt"));
  const std::string aside = *names.begin();
  BOOST_TEST(aside.starts_with("before-20"));
  before.erase(run + "/notes.txt");
  for (const auto& [path, text] : before) {
    const std::string moved = run + "/" + aside + path.substr(run.size());
    BOOST_TEST((fs::is_directory(moved) || content(moved) == text), moved);
  }
  BOOST_TEST(checkpoint_files(run + "/" + aside).size() == 2U);  // it can be loaded
}

BOOST_AUTO_TEST_CASE(run_dir_alone_is_never_gone_on_with) {
  const TemporaryFolder folder;
  const std::string run = folder / "r";
  const Deck deck = deck_of("run_dir: " + run + "\n");
  leave_run(deck, 0);
  start(deck);
  leave_run(deck, 2);
  const std::string error = error_of([&] { start(deck); });
  TRM_TEST_MENTIONS(error, "run_dir: " + run + " holds files of another run");
  TRM_TEST_MENTIONS(error, "Name another run_dir");
  BOOST_TEST(error.find("load:") == std::string::npos);
  start(deck_of("run_dir: " + run + "\noverwrite: true\n"));
  BOOST_TEST((recorded_steps(run) == 0));
}

BOOST_AUTO_TEST_CASE(run_dir_belongs_to_the_save_beside_it) {
  const TemporaryFolder folder;
  const std::string folders =
      "run_dir: " + (folder / "files") + "\nsave: " + (folder / "a") + "\n";
  leave_run(deck_of(folders), 2, false);
  start(deck_of(folders + "load: " + (folder / "a") + "\n"));
  const std::string other = "run_dir: " + (folder / "files") + "\nsave: " + (folder / "b") +
                            "\nload: " + (folder / "b") + "\n";
  TRM_TEST_MENTIONS(error_of([&] { start(deck_of(other)); }),
                    "run_dir: " + (folder / "files") + " holds files of another run");
  // The same folder by another name is the same run's.
  fs::create_directory_symlink(folder / "a", folder / "link");
  start(deck_of("run_dir: " + (folder / "files") + "\nsave: " + (folder / "link") +
                "\nload: " + (folder / "a/.") + "\n"));
}

BOOST_AUTO_TEST_CASE(events_belong_to_the_run_that_named_their_folder) {
  const TemporaryFolder folder;
  const std::string tb = "tensorboard_dir: " + (folder / "tb") + "\n";
  const std::string a = "save: " + (folder / "a") + "\n" + tb;
  leave_run(deck_of(a), 2, false);
  start(deck_of(a + "load: " + (folder / "a") + "\n"));
  const std::string b = "save: " + (folder / "b") + "\nload: " + (folder / "b") + "\n" + tb;
  TRM_TEST_MENTIONS(error_of([&] { start(deck_of(b)); }),
                    "tensorboard_dir: " + (folder / "tb") + " holds files of another run");
  start(deck_of(b + "overwrite: true\n"));
  BOOST_TEST(event_files(folder / "tb").empty());
  BOOST_TEST((recorded_steps(folder / "a") == 2));
  leave_run(deck_of(tb), 0);  // without any other folder
  TRM_TEST_MENTIONS(error_of([&] { start(deck_of(tb)); }), "another tensorboard_dir");
}

BOOST_AUTO_TEST_CASE(a_start_elsewhere_that_died_early_is_repeated) {
  const TemporaryFolder folder;
  leave_run(deck_of("save: " + (folder / "base") + "\n"), 4);
  const std::string keys =
      "save: " + (folder / "on") + "\nload: " + (folder / "base/global_step4") + "\n";
  leave_run(deck_of(keys), 2, false);
  start(deck_of(keys));
  TRM_TEST_MENTIONS(error_of([&] { start(deck_of(keys + "finetune: true\n")); }),
                    "holds files of another run");
}

BOOST_AUTO_TEST_CASE(metrics_that_cannot_be_read_are_no_ones_to_overwrite) {
  const TemporaryFolder folder;
  const Deck deck = deck_of("save: " + (folder / "r") + "\n");
  fs::create_directory(deck.save);
  write(deck.save + "/metrics.h5", "not HDF5");
  TRM_TEST_MENTIONS(error_of([&] { start(deck); }), "holds files of another run: metrics.h5");
  BOOST_TEST(content(deck.save + "/metrics.h5") == "not HDF5");
}

BOOST_AUTO_TEST_CASE(two_starts_at_once) {
  const TemporaryFolder folder;
  const Deck deck = deck_of("save: " + (folder / "r") + "\nrun_dir: " + (folder / "files") +
                            "\nload: " + (folder / "r") + "\n");
  const LoadSource source(deck);
  RunClaim claim;
  claim.lock_existing(deck);
  claim.make_ready(deck, source);
  claim.require();
  TRM_TEST_MENTIONS(error_of([&] { start(deck); }), "r is in use by process");
  TRM_TEST_MENTIONS(error_of([&] { start(deck_of("run_dir: " + (folder / "files") + "\n")); }),
                    "run_dir: " + (folder / "files") + " is in use by process");
}

BOOST_AUTO_TEST_CASE(temporary_files_of_dead_runs_go) {
  const TemporaryFolder folder;
  const Deck deck = deck_of("save: " + (folder / "r") + "\nload: " + (folder / "r") + "\n");
  fs::create_directory(deck.save);
  for (const char* name : {"metrics.h5.12-00c0ffee.tmp", "deck.yml.12-00c0ffee.tmp",
                           "metrics.h5.tmp", "mine.tmp", "metrics.h5.mine.tmp"}) {
    write(deck.save + "/" + name, "x");
  }
  fs::create_symlink(folder / "r/mine.tmp", folder / "r/deck.yml.13-00c0ffee.tmp");
  start(deck);
  BOOST_TEST(names_in(deck.save) == (std::set<std::string>{"mine.tmp", "metrics.h5.mine.tmp",
                                                           "deck.yml.13-00c0ffee.tmp"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(pipes_and_folders_in_the_place_of_files_are_named) {
  const TemporaryFolder folder;
  const Deck deck = deck_of("save: " + (folder / "r") + "\nload: " + (folder / "r") + "\n");
  for (const char* name : {"log.txt", "metrics.h5", "deck.yml", "environment.txt"}) {
    fs::remove_all(deck.save);
    fs::create_directory(deck.save);
    const std::string path = deck.save + "/" + name;
    BOOST_REQUIRE(mkfifo(path.c_str(), 0666) == 0);
    TRM_TEST_MENTIONS(error_of([&] { start(deck); }),
                      path + ": cannot write: it is a named pipe");
    fs::remove(path);
    fs::create_directory(path);
    TRM_TEST_MENTIONS(error_of([&] { start(deck); }), path + ": cannot write: it is a folder");
  }
}

BOOST_AUTO_TEST_CASE(folders_that_cannot_be_written_are_named_with_their_key) {
  const TemporaryFolder folder;
  write(folder / "file", "");
  for (const char* key : {"save", "run_dir", "tensorboard_dir"}) {
    for (const std::string& path : {folder / "file", folder / "file/below"}) {
      TRM_TEST_MENTIONS(
          error_of([&] { start(deck_of(fmt::format("{}: {}\n", key, path))); }),
          fmt::format("cannot write to the folder {} (key {}): Not a directory", path, key));
    }
  }
}

}  // namespace
}  // namespace trireme
