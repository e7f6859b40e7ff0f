// SPDX-License-Identifier: Apache-2.0
// Files that are replaced as a whole, and what is left where that fails.
#include "trireme/core/replacement.hpp"

#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sys/resource.h>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::TemporaryFolder;

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

BOOST_AUTO_TEST_CASE(a_text_takes_the_place_of_another) {
  const TemporaryFolder folder;
  const std::string path = folder / "latest";
  for (const Durability durability : {Durability::process, Durability::power}) {
    replace_text(path, "first\n", durability);
    BOOST_TEST(content(path) == "first\n");
    replace_text(path, "", durability);
    BOOST_TEST(content(path).empty());
    BOOST_TEST(!fs::exists(path + ".tmp"));
    fs::remove(path);
  }
}

BOOST_AUTO_TEST_CASE(the_old_file_stays_until_the_new_one_is_complete) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  write(path, "old");
  write(path + ".tmp", "what a dead run left");
  {
    Replacement file(path);
    BOOST_TEST(file.temporary() == path + ".tmp");
    write(file.temporary(), "new");
    BOOST_TEST(content(path) == "old");
    file.commit(Durability::process);
    BOOST_TEST(content(path) == "new");
    write(path + ".tmp", "of another");  // not this one's any more
  }
  BOOST_TEST(content(path + ".tmp") == "of another");
}

BOOST_AUTO_TEST_CASE(what_is_given_up_leaves_nothing) {
  const TemporaryFolder folder;
  const std::string path = folder / "tokens.h5";
  write(path, "old");
  std::ifstream open_still;
  {
    const Replacement file(path);
    write(file.temporary(), "half of the n");
    open_still.open(file.temporary());
  }
  BOOST_TEST(content(path) == "old");
  BOOST_TEST(!fs::exists(path + ".tmp"));
  // The space of a file that is open is free, too.
  BOOST_TEST((open_still.get() == std::ifstream::traits_type::eof()));
  const Replacement never_written(folder / "none");
}

BOOST_AUTO_TEST_CASE(a_failed_commit_removes_the_new_file_and_says_why) {
  const TemporaryFolder folder;
  const std::string path = folder / "taken";
  fs::create_directories(path + "/by_a_folder");
  const auto failure = failure_of([&] { replace_text(path, "x", Durability::power); });
  BOOST_REQUIRE(failure.has_value());
  BOOST_TEST((failure->system_error() == EISDIR || failure->system_error() == ENOTEMPTY));
  TRM_TEST_MENTIONS(failure->what(), path + ".tmp: cannot rename to " + path + ": ");
  BOOST_TEST(!fs::exists(path + ".tmp"));
  BOOST_TEST(fs::exists(path + "/by_a_folder"));

  const auto missing =
      failure_of([&] { replace_text(folder / "no/such/folder", "x", Durability::process); });
  BOOST_TEST((missing && missing->system_error() == ENOENT));
  Replacement unwritten(folder / "unwritten");
  TRM_TEST_MENTIONS(error_of([&] { unwritten.commit(Durability::power); }),
                    "unwritten.tmp: cannot open: ");
}

BOOST_AUTO_TEST_CASE(a_failed_write_keeps_the_old_file) {
  const TemporaryFolder folder;
  const std::string path = folder / "deck.yml";
  write(path, "old");
  rlimit before{};
  BOOST_REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small{1000, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto failure =
      failure_of([&] { replace_text(path, std::string(5000, 'x'), Durability::process); });
  BOOST_REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  BOOST_REQUIRE(failure.has_value());
  BOOST_TEST(std::string(failure->what()) == path + ".tmp: cannot write: File too large");
  BOOST_TEST(failure->system_error() == EFBIG);
  BOOST_TEST(content(path) == "old");
  BOOST_TEST(!fs::exists(path + ".tmp"));
}

BOOST_AUTO_TEST_CASE(what_is_not_there_cannot_be_synced) {
  const TemporaryFolder folder;
  TRM_TEST_MENTIONS(error_of([&] { sync_to_disk(folder / "none"); }),
                    "none: cannot open: No such file");
  sync_to_disk(folder / ".");
}

}  // namespace
}  // namespace trireme
