// SPDX-License-Identifier: Apache-2.0
// Where lines go: each case in a process of its own, its output in files.
#include "trireme/core/log.hpp"

#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"

using namespace trireme;

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void send(int from, const std::string& path) {
  const int file = open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  dup2(file, from);
  close(file);
}

struct Lines {
  test::TemporaryFolder folder;
  std::string out = folder / "out";
  std::string err = folder / "err";
  std::string kept = folder / "log.txt";

  template <class F>
  void in_child(F f) const {
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      send(STDOUT_FILENO, out);
      send(STDERR_FILENO, err);
      f();
      _exit(0);
    }
    int status = 1;
    BOOST_REQUIRE_EQUAL(waitpid(child, &status, 0), child);
    BOOST_REQUIRE_EQUAL(status, 0);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(rank_0_tells_and_keeps) {
  const Lines lines;
  lines.in_child([&] {
    log::start(0, "node1");
    log::info("before all");
    log::hold();
    log::note("mark");
    log::warn("held");
    log::keep(lines.kept);
    log::info("a line of {}", 2);
    log::error("the end");
  });
  BOOST_CHECK_EQUAL(text_of(lines.out), "before all\na line of 2\n");
  BOOST_CHECK_EQUAL(text_of(lines.err), "warning: held\ntrireme: error: the end\n");
  BOOST_CHECK_EQUAL(text_of(lines.kept),
                    "mark\nwarning: held\na line of 2\ntrireme: error: the end\n");
}

BOOST_AUTO_TEST_CASE(other_ranks_warn_with_rank_and_host_and_add_to_what_is_there) {
  const Lines lines;
  const auto run = [&] {
    log::start(3, "node7");
    log::hold();
    log::keep(lines.kept);
    log::info("not told");
    log::warn("odd");
  };
  lines.in_child(run);
  BOOST_CHECK(!std::filesystem::exists(lines.kept));
  std::ofstream(lines.kept) << "first\n";
  lines.in_child(run);
  BOOST_CHECK_EQUAL(text_of(lines.out), "");
  BOOST_CHECK_EQUAL(text_of(lines.kept), "first\nwarning (rank 3 on node7): odd\n");
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_written_is_told_once) {
  const Lines lines;
  const std::string pipe = lines.folder / "log.txt";
  BOOST_REQUIRE(mkfifo(pipe.c_str(), 0666) == 0);
  lines.in_child([&] {
    log::start(0, "node1");
    log::keep(pipe);
    log::info("one");
    log::info("two");
    std::filesystem::remove(pipe);
    log::info("three");
  });
  BOOST_CHECK_EQUAL(text_of(lines.out), "one\ntwo\nthree\n");
  const std::string warning = "warning: " + pipe +
                              ": cannot write: it is a named pipe; lines of the log wait until "
                              "it can be written\n";
  BOOST_CHECK_EQUAL(text_of(lines.err), warning);
  BOOST_CHECK_EQUAL(text_of(pipe), "one\n" + warning + "two\nthree\n");
}

BOOST_AUTO_TEST_CASE(a_folder_that_goes_is_made_again) {
  const Lines lines;
  const std::string deep = lines.folder / "run/log.txt";
  lines.in_child([&] {
    log::start(0, "node1");
    log::keep(deep);
    log::info("one");
    std::filesystem::remove_all(lines.folder / "run");
    log::info("two");
  });
  BOOST_CHECK_EQUAL(text_of(lines.err), "");
  BOOST_CHECK_EQUAL(text_of(deep), "two\n");
}

BOOST_AUTO_TEST_CASE(the_live_line_stays_below_and_out_of_the_file) {
  const Lines lines;
  lines.in_child([&] {
    log::start(0, "node1");
    log::keep(lines.kept);
    const log::LivePlace place{.file = stdout, .out = true, .err = true};
    log::show(place, "bar 1");
    log::info("line");
    log::warn("odd");
    log::show(place, "bar 2");
    log::hide();
    log::info("end");
  });
  const std::string e = "\r\033[K";
  BOOST_CHECK_EQUAL(text_of(lines.out), e + "bar 1" + e + "line\n" + e + "bar 1" + e + e +
                                            "bar 1" + e + "bar 2" + e + "end\n");
  BOOST_CHECK_EQUAL(text_of(lines.err), e + "warning: odd\n");
  BOOST_CHECK_EQUAL(text_of(lines.kept), "line\nwarning: odd\nend\n");
}

BOOST_AUTO_TEST_CASE(an_error_comes_out_without_a_start_too) {
  const Lines lines;
  lines.in_child([] { log::error("early"); });
  BOOST_CHECK_EQUAL(text_of(lines.err), "trireme: error: early\n");
}

BOOST_AUTO_TEST_CASE(quiet_shows_trouble_alone_and_keeps_all) {
  const Lines lines;
  lines.in_child([&] {
    log::start(0, "node1");
    log::set_loudness(log::Loudness::quiet);
    log::keep(lines.kept);
    log::info("a line");
    log::event("a step", R"("iteration": 1)");
    log::warn("odd");
    log::error("the end");
  });
  BOOST_CHECK_EQUAL(text_of(lines.out), "");
  BOOST_CHECK_EQUAL(text_of(lines.err), "warning: odd\ntrireme: error: the end\n");
  BOOST_CHECK_EQUAL(text_of(lines.kept),
                    "a line\na step\nwarning: odd\ntrireme: error: the end\n");
}

BOOST_AUTO_TEST_CASE(json_lines_are_objects_on_the_screen_and_in_the_file) {
  const Lines lines;
  lines.in_child([&] {
    log::start(0, "node1");
    log::hold();
    log::note("mark");
    log::use_json();
    log::warn("odd");
    log::keep(lines.kept);
    log::event("a step", R"("iteration": 1)");
  });
  const std::string kept = text_of(lines.kept);
  BOOST_TEST(kept.find(R"("level": "note", "text": "mark"})") != std::string::npos, kept);
  BOOST_TEST(kept.find(R"("level": "warning", "text": "odd"})") != std::string::npos, kept);
  BOOST_TEST(text_of(lines.out).ends_with(
      R"("host": "node1", "level": "info", "text": "a step", "iteration": 1})"
      "\n"));
  BOOST_TEST(text_of(lines.err).starts_with(R"({"time": "20)"));
}
