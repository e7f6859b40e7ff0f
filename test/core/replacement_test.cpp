// SPDX-License-Identifier: Apache-2.0
// Files that are replaced as a whole, and what is left where that fails.
#include "trireme/core/replacement.hpp"

#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sys/resource.h>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"

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
    fs::remove(path);
    BOOST_TEST(fs::is_empty(folder / ""));
  }
}

BOOST_AUTO_TEST_CASE(the_old_file_stays_until_the_new_one_is_complete) {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.h5";
  write(path, "old");
  const std::string temporary = path + "." + process_mark() + ".tmp";
  fs::create_symlink(path, temporary);  // what this process could not remove
  {
    Replacement file(path);
    BOOST_TEST(file.temporary() == temporary);
    BOOST_TEST(fs::is_regular_file(fs::symlink_status(temporary)));
    write(file.temporary(), "new");
    BOOST_TEST(content(path) == "old");
    file.commit(Durability::process);
    BOOST_TEST(content(path) == "new");
    write(temporary, "of another");  // not this one's any more
  }
  BOOST_TEST(content(temporary) == "of another");
}

BOOST_AUTO_TEST_CASE(temporary_names_are_known_by_their_mark) {
  BOOST_TEST(base_of_temporary("latest." + process_mark() + ".tmp").value() == "latest");
  for (const char* name : {"a.tmp", "a.1-0123abcd.tmp"}) {
    BOOST_TEST(base_of_temporary(name).value() == "a");
  }
  for (const char* name : {"a.-0123abcd", "a.1-123abcd", "a.1-0123abcg", "a.x-0123abcd"}) {
    BOOST_TEST(base_of_temporary(name + std::string(".tmp")).value() == name);
    BOOST_TEST(!base_of_temporary(name).has_value());
  }
}

BOOST_AUTO_TEST_CASE(no_pipe_device_or_folder_is_replaced) {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  BOOST_REQUIRE(mkfifo(pipe.c_str(), 0666) == 0);
  const std::vector<std::pair<std::string, std::string>> places{
      {pipe, "a named pipe"}, {"/dev/null", "a device"}, {folder / ".", "a folder"}};
  for (const auto& [path, kind] : places) {
    TRM_TEST_MENTIONS(error_of([&] { replace_text(path, "x", Durability::process); }),
                      path + ": cannot write: it is " + kind);
    TRM_TEST_MENTIONS(error_of([&] { require_file(path); }), "cannot open: it is " + kind);
    std::size_t written = 0;
    BOOST_TEST(append_text(path, "x", true, written) == EINVAL);
  }
  BOOST_TEST(other_kind(folder / "nothing").empty());
  require_file_or_nothing(folder / "nothing");
  TRM_TEST_MENTIONS(error_of([&] { require_file(folder / "nothing"); }), "No such file");
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
  BOOST_TEST(!fs::exists(temporary_name(path, process_mark())));
  // The space of a file that is open is free, too.
  BOOST_TEST((open_still.get() == std::ifstream::traits_type::eof()));
  const Replacement never_written(folder / "none");
}

BOOST_AUTO_TEST_CASE(a_failed_commit_removes_the_new_file_and_says_why) {
  const TemporaryFolder folder;
  const std::string path = folder / "taken";
  const auto failure = failure_of([&] {
    Replacement file(path);
    fs::create_directories(path + "/by_a_folder");
    file.commit(Durability::power);
  });
  BOOST_REQUIRE(failure.has_value());
  BOOST_TEST((failure->system_error() == EISDIR || failure->system_error() == ENOTEMPTY));
  TRM_TEST_MENTIONS(failure->what(), ".tmp: cannot rename to " + path + ": ");
  BOOST_TEST(!fs::exists(temporary_name(path, process_mark())));
  BOOST_TEST(fs::exists(path + "/by_a_folder"));

  const std::string nowhere = folder / "no/such";
  const auto missing =
      failure_of([&] { replace_text(nowhere + "/folder", "x", Durability::process); });
  BOOST_TEST((missing && missing->system_error() == ENOENT));
  TRM_TEST_MENTIONS(missing->what(), nowhere + "/folder: cannot create a file in the folder " +
                                         nowhere + ": No such file");
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
  BOOST_TEST(std::string(failure->what()) == path + ": cannot write: File too large");
  BOOST_TEST(failure->system_error() == EFBIG);
  BOOST_TEST(content(path) == "old");
  BOOST_TEST(!fs::exists(temporary_name(path, process_mark())));
}

BOOST_AUTO_TEST_CASE(what_is_not_there_cannot_be_synced) {
  const TemporaryFolder folder;
  TRM_TEST_MENTIONS(error_of([&] { sync_to_disk(folder / "none"); }),
                    "none: cannot open: No such file");
  sync_to_disk(folder / ".");
}

}  // namespace
}  // namespace trireme
