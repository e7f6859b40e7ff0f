// SPDX-License-Identifier: Apache-2.0
// Locks of live, dead, silent and moved owners.
#include "trireme/record/owner_lock.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "trireme/core/clock.hpp"
#include "trireme/core/error.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/replacement.hpp"

#include "../../src/record/lock_file.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::TemporaryFolder;

constexpr LockTimes kShort{.beat = 0.05, .watch = 0.3, .takeover = 0.6};

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

void sleep_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// A lock that another process left in `folder`.
lock_file::Owner other_owner(const std::string& folder) {
  lock_file::Owner owner = lock_file::this_process(folder + "/trireme.lock", "yesterday");
  owner.mark = "1-00000001";
  return owner;
}

/// What a child process does with the lock; the child ends with exit code 0 if f returns true.
pid_t in_child(const std::function<bool()>& f) {
  const pid_t child = fork();
  if (child == 0) {
    bool good = false;
    const auto failure = failure_of([&] { good = f(); });
    _exit(good && !failure ? 0 : 1);
  }
  return child;
}

BOOST_AUTO_TEST_CASE(one_owner_at_a_time) {
  const TemporaryFolder folder;
  const std::string stem = folder / "trireme.lock";
  {
    OwnerLock lock(stem, "save: a", kShort);
    BOOST_TEST(lock.path() == stem + ".1");
    const std::string text = content(lock.path());
    for (const std::string& words :
         {fmt::format("process: {}\n", getpid()), std::string("host: "), std::string("since: "),
          "folder: " + fs::path(stem).parent_path().string()}) {
      TRM_TEST_MENTIONS(text, words);
    }
    const std::string error = error_of([&] { OwnerLock(stem, "save: b", kShort); });
    TRM_TEST_MENTIONS(error, fmt::format("save: b is in use by process {} on ", getpid()));
    TRM_TEST_MENTIONS(error, "name another place");
    BOOST_TEST(content(lock.path()) == text);
    lock.require();
  }
  BOOST_TEST(fs::is_empty(folder / ""));
  const OwnerLock again(stem, "save: c", kShort);
  BOOST_TEST(again.path() == stem + ".1");
}

BOOST_AUTO_TEST_CASE(a_process_that_was_killed_owns_nothing) {
  const TemporaryFolder folder;
  const std::string stem = folder / "trireme.lock";
  const pid_t child = in_child([&] {
    const OwnerLock lock(stem, "save: a", kShort);
    return raise(SIGKILL) == 0;
  });
  waitpid(child, nullptr, 0);
  BOOST_TEST(fs::exists(stem + ".1"));
  const double begin = now();
  const OwnerLock lock(stem, "save: a");  // with the usual times
  BOOST_TEST(now() - begin < 2);
  BOOST_TEST(lock.path() == stem + ".2");
  BOOST_TEST(!fs::exists(stem + ".1"));
}

BOOST_AUTO_TEST_CASE(a_number_used_again_is_another_process) {
  const TemporaryFolder folder;
  auto owner = other_owner(folder / "");
  owner.started = "1";  // this process's number, but another start
  write(folder / "trireme.lock.4", owner.text());
  const OwnerLock lock(folder / "trireme.lock", "save: a", kShort);
  BOOST_TEST(lock.path() == folder / "trireme.lock.5");
}

BOOST_AUTO_TEST_CASE(an_owner_elsewhere_is_watched) {
  const TemporaryFolder folder;
  const std::string stem = folder / "trireme.lock";
  const std::string file = stem + ".1";
  auto owner = other_owner(folder / "");
  owner.machine = "another boot";
  owner.host = "node7";
  write(file, owner.text());
  {  // it beats
    std::atomic<bool> ends{false};
    std::thread beats([&] {
      while (!ends) {
        fs::last_write_time(file, fs::file_time_type::clock::now());
        sleep_for(0.05);
      }
    });
    const LockTimes patient{.beat = 0.05, .watch = 0.3, .takeover = 20};
    const std::string error = error_of([&] { OwnerLock(stem, "save: a", patient); });
    ends = true;
    beats.join();
    TRM_TEST_MENTIONS(error, "on node7 since yesterday");
    BOOST_TEST(content(file) == owner.text());
  }
  const double begin = now();
  const OwnerLock lock(stem, "save: a", kShort);
  BOOST_TEST(now() - begin > 0.25);  // the silence before counts, too
  BOOST_TEST(lock.path() == stem + ".2");
}

BOOST_AUTO_TEST_CASE(an_old_silence_needs_a_short_watch) {
  const TemporaryFolder folder;
  const std::string stem = folder / "trireme.lock";
  auto owner = other_owner(folder / "");
  owner.machine = "another boot";
  write(stem + ".1", owner.text());
  fs::last_write_time(stem + ".1", fs::file_time_type::clock::now() - std::chrono::hours(1));
  const double begin = now();
  const OwnerLock lock(stem, "save: a", {.beat = 0.05, .watch = 0.3, .takeover = 100});
  BOOST_TEST(now() - begin > 0.25);
  BOOST_TEST(now() - begin < 10);
}

BOOST_AUTO_TEST_CASE(whom_another_took_the_lock_from_writes_no_more) {
  const TemporaryFolder folder;
  const std::string stem = folder / "trireme.lock";
  OwnerLock lock(stem, "save: a", kShort);
  fs::remove(lock.path());
  auto owner = other_owner(folder / "");
  owner.host = "node9";
  write(stem + ".2", owner.text());
  TRM_TEST_MENTIONS(error_of([&] { lock.require(); }), "save: a belongs to process");
  TRM_TEST_MENTIONS(error_of([&] { lock.require(); }), "on node9");
  BOOST_TEST(content(stem + ".2") == owner.text());
}

BOOST_AUTO_TEST_CASE(a_folder_that_is_moved_keeps_its_owner) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "run");
  OwnerLock lock(folder / "run/trireme.lock", "save: run", kShort);
  fs::rename(folder / "run", folder / "moved");
  sleep_for(0.2);
  BOOST_TEST(!fs::exists(folder / "run"));  // nothing is made before it is needed
  lock.require();
  BOOST_TEST(fs::exists(folder / "run/trireme.lock.1"));
  // What came along is no lock: the folder is free for others.
  const OwnerLock moved(folder / "moved/trireme.lock", "save: moved", kShort);
  BOOST_TEST(moved.path() == folder / "moved/trireme.lock.2");
  // A copy is free, too.
  fs::copy(folder / "run", folder / "copy", fs::copy_options::recursive);
  const OwnerLock copy(folder / "copy/trireme.lock", "save: copy", kShort);
  fs::remove(lock.path());  // by a user
  sleep_for(0.3);
  BOOST_TEST(fs::exists(lock.path()));
  lock.require();
}

BOOST_AUTO_TEST_CASE(one_folder_by_two_names_has_one_owner) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "run");
  fs::create_directory_symlink(folder / "run", folder / "link");
  const OwnerLock lock(folder / "run/trireme.lock", "save: run", kShort);
  TRM_TEST_MENTIONS(
      error_of([&] { OwnerLock(folder / "link/trireme.lock", "save: link", kShort); }),
      "save: link is in use");
}

BOOST_AUTO_TEST_CASE(a_lock_that_says_nothing_is_watched) {
  const TemporaryFolder folder;
  const std::string stem = folder / "trireme.lock";
  for (const std::string& text :
       {std::string(), std::string(100'000, 'x'), std::string("process: -7\nmachine: \n")}) {
    write(stem + ".9", text);
    const double begin = now();
    const OwnerLock lock(stem, "save: a", kShort);
    BOOST_TEST(now() - begin > 0.25);
    BOOST_TEST(lock.path() == stem + ".10");
  }
  TRM_TEST_MENTIONS(error_of([&] { OwnerLock(folder / "none/lock", "save: a", kShort); }),
                    "No such file");
}

BOOST_AUTO_TEST_CASE(of_many_that_take_over_at_once_one_wins) {
  for (int round = 0; round < 10; ++round) {
    const TemporaryFolder folder;
    const std::string stem = folder / "trireme.lock";
    if (round % 2 == 1) {
      auto owner = other_owner(folder / "");
      owner.started = "1";
      write(stem + ".1", owner.text());
    }
    std::vector<pid_t> children;
    for (int i = 0; i < 6; ++i) {
      children.push_back(in_child([&] {
        OwnerLock lock(stem, "save: a", {.beat = 0.05, .watch = 0.1, .takeover = 60});
        const std::string alone = folder / "alone";
        if (!fs::create_directory(alone)) return false;
        sleep_for(0.4);
        lock.require();
        return fs::remove(alone);
      }));
    }
    int winners = 0;
    for (const pid_t child : children) {
      int status = 0;
      waitpid(child, &status, 0);
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) ++winners;
    }
    BOOST_TEST(winners >= 1);
    BOOST_TEST(!fs::exists(folder / "alone"));
    BOOST_TEST(lock_file::highest(stem) == 0);
  }
}

}  // namespace
}  // namespace trireme
