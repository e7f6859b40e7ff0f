// SPDX-License-Identifier: Apache-2.0
// Requests to stop: real signals, a real file, and batch systems' variables.
#include "../../src/app/stop.hpp"

#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "trireme/core/clock.hpp"
#include "trireme/core/error.hpp"

#include "../support/temporary_folder.hpp"

using namespace trireme;

namespace {

std::optional<double> end_time(const std::map<std::string, std::string>& variables) {
  return batch_end_time(
      [&](const char* name) {
        const auto at = variables.find(name);
        return at == variables.end() ? nullptr : at->second.c_str();
      },
      1000.0);
}

/// Catches signals as a run does between its start and its end.
void catch_signals(const SignalReports& reports = {}) {
  catch_stop_signals(reports);
  use_stop_signals(SignalUse::remembered);
}

/// Runs `f` in a process of its own, because a process installs signal handlers only once.
template <class F>
StopReason in_child(F f) {
  const pid_t child = fork();
  if (child == 0) _exit(static_cast<int>(f()));
  int status = 0;
  BOOST_REQUIRE_EQUAL(waitpid(child, &status, 0), child);
  BOOST_REQUIRE_MESSAGE(WIFEXITED(status), "ended by signal " << WTERMSIG(status));
  return static_cast<StopReason>(WEXITSTATUS(status));
}

}  // namespace

namespace trireme {
std::ostream& operator<<(std::ostream& out, StopReason reason) {  // for Boost's messages
  return out << describe(reason, "SAVE");
}
}  // namespace trireme

BOOST_AUTO_TEST_SUITE(stop)

BOOST_AUTO_TEST_CASE(signals_are_remembered_by_urgency) {
  const auto raised = [](const std::vector<int>& signals) {
    return in_child([&] {
      catch_signals();
      for (const int s : signals) raise(s);
      return caught_signal();
    });
  };
  BOOST_CHECK_EQUAL(raised({}), StopReason::none);
  BOOST_CHECK_EQUAL(raised({SIGUSR1}), StopReason::sigusr1);
  BOOST_CHECK_EQUAL(raised({SIGUSR2}), StopReason::sigusr2);
  BOOST_CHECK_EQUAL(raised({SIGTERM}), StopReason::sigterm);
  BOOST_CHECK_EQUAL(raised({SIGINT}), StopReason::sigint);
  BOOST_CHECK_EQUAL(raised({SIGHUP}), StopReason::sighup);
  BOOST_CHECK_EQUAL(raised({SIGXCPU}), StopReason::sigxcpu);
  BOOST_CHECK_EQUAL(raised({SIGHUP, SIGXCPU}), StopReason::sigxcpu);
  BOOST_CHECK_EQUAL(raised({SIGPIPE}), StopReason::none);  // the log notices a closed pipe
  BOOST_CHECK_EQUAL(raised({SIGTERM, SIGUSR1}), StopReason::sigterm);
  BOOST_CHECK_EQUAL(raised({SIGUSR1, SIGUSR2, SIGUSR2}), StopReason::sigusr2);
}

/// How a child ended, and what it wrote to stderr and to the log.
struct Ended {
  int code = -1;    ///< exit code
  int signal = -1;  ///< or the signal that ended it
  std::string err;
  std::string log;
};

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class F>
Ended ended(SignalReports reports, F f) {
  const test::TemporaryFolder folder;
  reports.log = folder / "log.txt";
  std::ofstream(reports.log).close();
  const pid_t child = fork();
  if (child == 0) {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (freopen((folder / "err").c_str(), "w", stderr) == nullptr) _exit(99);
    catch_stop_signals(reports);
    f();
    _exit(0);
  }
  int status = 0;
  BOOST_REQUIRE_EQUAL(waitpid(child, &status, 0), child);
  Ended e;
  if (WIFEXITED(status)) e.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) e.signal = WTERMSIG(status);
  e.err = text_of(folder / "err");
  e.log = text_of(reports.log);
  return e;
}

BOOST_AUTO_TEST_CASE(a_signal_during_start_up_ends_the_process_with_a_line) {
  const Ended e = ended({}, [] { raise(SIGINT); });
  BOOST_CHECK_EQUAL(e.code, 75);
  BOOST_CHECK_EQUAL(e.err,
                    "trireme: SIGINT during start-up: ended before the first step; start "
                    "again\n");
  BOOST_CHECK_EQUAL(e.log, e.err);
}

BOOST_AUTO_TEST_CASE(a_signal_is_reported_once_and_at_once) {
  SignalReports reports;
  reports.erases = true;
  const Ended e = ended(reports, [] {
    use_stop_signals(SignalUse::remembered);
    raise(SIGTERM);
    raise(SIGTERM);
    raise(SIGUSR1);
  });
  BOOST_CHECK_EQUAL(e.code, 0);
  const std::string line =
      "trireme: SIGTERM: saving after this step; a second Ctrl-C ends now\n";
  BOOST_CHECK_EQUAL(e.err, "\r\033[K" + line);
  BOOST_CHECK_EQUAL(e.log, line);
}

BOOST_AUTO_TEST_CASE(a_second_interrupt_ends_the_process) {
  const Ended e = ended({}, [] {
    use_stop_signals(SignalUse::remembered);
    raise(SIGINT);
    if (caught_signal() != StopReason::sigint) _exit(1);
    raise(SIGINT);
  });
  BOOST_CHECK_EQUAL(e.signal, SIGINT);
  BOOST_TEST(e.log.ends_with(
                 "trireme: second SIGINT: ended at once; the last checkpoint is as it was\n"),
             e.log);
}

BOOST_AUTO_TEST_CASE(a_rank_reports_only_what_it_alone_got) {
  SignalReports reports;
  reports.rank = 3;
  reports.launched = true;
  reports.host = "node7";
  const auto sent_by = [&](bool parent) {
    return ended(reports, [parent] {
      use_stop_signals(SignalUse::remembered);
      const pid_t here = getpid();
      if (parent) {  // this process's child is the rank, and this process its launcher
        const pid_t rank = fork();
        if (rank == 0) {
          while (caught_signal() == StopReason::none) usleep(1000);
          _exit(0);
        }
        kill(rank, SIGUSR1);
        waitpid(rank, nullptr, 0);
      } else if (fork() == 0) {
        _exit(kill(here, SIGUSR1));
      } else {
        while (caught_signal() == StopReason::none) usleep(1000);
      }
    });
  };
  BOOST_CHECK_EQUAL(sent_by(true).err, "");
  BOOST_CHECK_EQUAL(sent_by(false).err,
                    "trireme: SIGUSR1 (rank 3 on node7): saving after this step; a second "
                    "Ctrl-C ends now\n");
}

BOOST_AUTO_TEST_CASE(a_fault_is_the_last_line) {
  const Ended e = ended({}, [] { raise(SIGSEGV); });
  BOOST_CHECK_EQUAL(e.signal, SIGSEGV);
  BOOST_CHECK_EQUAL(e.log,
                    "trireme: ended by SIGSEGV: a fault of the program or its libraries\n");
}

BOOST_AUTO_TEST_CASE(the_time_of_the_kill) {
  const auto seconds = [](const SignalReports& reports, int signal, bool by_launcher) {
    int ends[2];
    BOOST_REQUIRE_EQUAL(pipe(ends), 0);
    const pid_t rank = fork();
    if (rank == 0) {
      catch_signals(reports);
      if (!by_launcher) raise(signal);
      const char ready = 'r';
      static_cast<void>(write(ends[1], &ready, 1));
      while (caught_signal() == StopReason::none) usleep(1000);
      _exit(kill_time() ? static_cast<int>(std::lround(*kill_time() - now())) : 99);
    }
    char ready = 0;
    BOOST_REQUIRE_EQUAL(read(ends[0], &ready, 1), 1);
    if (by_launcher) kill(rank, signal);
    int status = 0;
    waitpid(rank, &status, 0);
    return WEXITSTATUS(status);
  };
  SignalReports mpirun;
  mpirun.kill_seconds = 3;
  mpirun.launched = true;
  SignalReports deck = mpirun;
  deck.grace = 20;
  BOOST_CHECK_EQUAL(seconds({}, SIGTERM, true), 99);
  BOOST_CHECK_EQUAL(seconds(mpirun, SIGTERM, false), 99);
  BOOST_CHECK_EQUAL(seconds(mpirun, SIGUSR1, true), 99);
  BOOST_CHECK_EQUAL(seconds(mpirun, SIGTERM, true), 3);
  BOOST_CHECK_EQUAL(seconds(mpirun, SIGCONT, true), 6);
  BOOST_CHECK_EQUAL(seconds(deck, SIGUSR1, false), 20);
  BOOST_CHECK_EQUAL(seconds(deck, SIGTERM, true), 3);
}

BOOST_AUTO_TEST_CASE(what_mpirun_says_of_the_kill) {
  const auto asked = [](const std::map<std::string, std::string>& variables) {
    return mpirun_kill_seconds([&](const char* name) {
      const auto at = variables.find(name);
      return at == variables.end() ? nullptr : at->second.c_str();
    });
  };
  const char* const timeout = "OMPI_MCA_odls_base_sigkill_timeout";
  BOOST_CHECK(!asked({}));
  BOOST_CHECK(!asked({{timeout, "5"}}));
  BOOST_CHECK_EQUAL(asked({{"OMPI_COMM_WORLD_RANK", "0"}}).value(), 1);
  BOOST_CHECK_EQUAL(asked({{"OMPI_COMM_WORLD_RANK", "0"}, {timeout, "60"}}).value(), 60);
  BOOST_CHECK_EQUAL(asked({{"OMPI_COMM_WORLD_RANK", "0"}, {timeout, "x"}}).value(), 1);
}

BOOST_AUTO_TEST_CASE(ignored_signals_stay_ignored) {
  const StopReason reason = in_child([] {
    std::signal(SIGUSR1, SIG_IGN);
    std::signal(SIGTERM, SIG_IGN);
    catch_signals();
    raise(SIGUSR1);
    raise(SIGTERM);
    if (caught_signal() != StopReason::none) return caught_signal();
    raise(SIGUSR2);
    return caught_signal();
  });
  BOOST_CHECK_EQUAL(reason, StopReason::sigusr2);
}

BOOST_AUTO_TEST_CASE(signals_do_again_what_they_did) {
  const StopReason reason = in_child([] {
    std::signal(SIGUSR2, [](int) { _exit(static_cast<int>(StopReason::sigusr2)); });
    catch_signals();
    raise(SIGUSR2);
    restore_stop_signals();
    if (std::signal(SIGTERM, SIG_DFL) != SIG_DFL) return StopReason::sigterm;
    raise(SIGUSR2);
    return StopReason::none;
  });
  BOOST_CHECK_EQUAL(reason, StopReason::sigusr2);
}

BOOST_AUTO_TEST_CASE(a_read_under_way_goes_on) {
  const StopReason reason = in_child([] {
    catch_signals();
    int ends[2];
    if (pipe(ends) != 0) return StopReason::none;
    const pid_t reader = getpid();
    if (fork() == 0) {
      usleep(100'000);
      kill(reader, SIGUSR1);
      usleep(100'000);
      _exit(write(ends[1], "x", 1) == 1 ? 0 : 1);
    }
    char c = 0;
    const ssize_t n = read(ends[0], &c, 1);
    return n == 1 ? caught_signal() : StopReason::none;
  });
  BOOST_CHECK_EQUAL(reason, StopReason::sigusr1);
}

BOOST_AUTO_TEST_CASE(every_rank_looks_at_signals) {
  const StopReason reason = in_child([] {
    catch_signals();
    StopRequests requests({.save = "", .look = false, .end_time = 1, .margin = 0});
    if (requests.poll(0, 0) != StopReason::none) return StopReason::none;
    raise(SIGUSR1);
    return requests.poll(0, 0);
  });
  BOOST_CHECK_EQUAL(reason, StopReason::sigusr1);
}

BOOST_AUTO_TEST_CASE(the_file) {
  const test::TemporaryFolder folder;
  const std::string save = folder / "";
  const std::string file = folder / "stop";
  StopRequests requests({.save = save, .look = true, .end_time = {}, .margin = 0});
  StopRequests elsewhere({.save = save, .look = false, .end_time = {}, .margin = 0});
  BOOST_CHECK_EQUAL(requests.poll(1, 1), StopReason::none);
  std::ofstream(file).close();
  BOOST_CHECK_EQUAL(requests.poll(1, 1), StopReason::none);  // the last look is too recent
  std::this_thread::sleep_for(std::chrono::milliseconds(1050));
  BOOST_CHECK_EQUAL(requests.poll(1, 1), StopReason::file);
  BOOST_CHECK_EQUAL(elsewhere.poll(1, 1), StopReason::none);
  elsewhere.obeyed();
  BOOST_CHECK(std::filesystem::exists(file));
  requests.obeyed();
  BOOST_CHECK(!std::filesystem::exists(file));
  std::this_thread::sleep_for(std::chrono::milliseconds(1050));
  BOOST_CHECK_EQUAL(requests.poll(1, 1), StopReason::file);  // poll() repeats its answer
  requests.obeyed();                                         // fails in no way without the file
}

BOOST_AUTO_TEST_CASE(the_time_limit) {
  const auto look = [](double left, double margin, double step, double save) {
    StopRequests requests(
        {.save = "", .look = true, .end_time = seconds_since_1970() + left, .margin = margin});
    return requests.poll(step, save);
  };
  BOOST_CHECK_EQUAL(look(25, 0, 0, 0), StopReason::time_limit);
  BOOST_CHECK_EQUAL(look(35, 0, 0, 0), StopReason::none);
  BOOST_CHECK_EQUAL(look(225, 0, 60, 40), StopReason::time_limit);
  BOOST_CHECK_EQUAL(look(235, 0, 60, 40), StopReason::none);
  BOOST_CHECK_EQUAL(look(295, 300, 0, 0), StopReason::time_limit);
  BOOST_CHECK_EQUAL(look(305, 300, 1000, 1000), StopReason::none);
  BOOST_CHECK_EQUAL(look(-5, 0, 0, 0), StopReason::time_limit);
  StopRequests unlimited({.save = "", .look = true, .end_time = {}, .margin = 1e9});
  BOOST_CHECK_EQUAL(unlimited.poll(1e9, 1e9), StopReason::none);
}

BOOST_AUTO_TEST_CASE(batch_systems) {
  BOOST_CHECK(!end_time({}));
  BOOST_CHECK_EQUAL(end_time({{"SLURM_JOB_END_TIME", "1800000000"}}).value(), 1.8e9);
  BOOST_CHECK_EQUAL(end_time({{"PBS_WALLTIME", "3600"}}).value(), 4600);
  BOOST_CHECK_EQUAL(end_time({{"PBS_WALLTIME", "01:02:03"}}).value(), 1000 + 3723);
  BOOST_CHECK_EQUAL(end_time({{"PBS_WALLTIME", "100:00:00"}}).value(), 361'000);
  BOOST_CHECK_EQUAL(end_time({{"PBS_WALLTIME", "10:30"}}).value(), 1630);
  BOOST_CHECK_EQUAL(
      end_time(
          {{"TRIREME_END_TIME", "5.5"}, {"SLURM_JOB_END_TIME", "7"}, {"PBS_WALLTIME", "8"}})
          .value(),
      5.5);
  BOOST_CHECK_EQUAL(end_time({{"SLURM_JOB_END_TIME", "7"}, {"PBS_WALLTIME", "8"}}).value(), 7);
}

BOOST_AUTO_TEST_CASE(garbage_of_batch_systems_is_as_if_unset) {
  for (const char* bad : {"", "soon", "12x", " 12", "-5", "nan", "inf", "0", "1e999", "0x10"}) {
    BOOST_CHECK_MESSAGE(!end_time({{"SLURM_JOB_END_TIME", bad}}), "Slurm: " << bad);
  }
  for (const char* bad : {"", "UNLIMITED", ":", "1:", ":1", "1::2", "1:2:3:4", "-1:00", "0",
                          "00:00:00", "1:xx:00", "inf"}) {
    BOOST_CHECK_MESSAGE(!end_time({{"PBS_WALLTIME", bad}}), "PBS: " << bad);
  }
  BOOST_CHECK_EQUAL(
      end_time({{"SLURM_JOB_END_TIME", "Unknown"}, {"PBS_WALLTIME", "8"}}).value(), 1008);
  for (const char* bad : {"", "noon", "-1", "nan", "1:00"}) {
    BOOST_CHECK_EXCEPTION(
        static_cast<void>(end_time({{"TRIREME_END_TIME", bad}})), Error, [&](const Error& e) {
          return std::string(e.what()).find("TRIREME_END_TIME") != std::string::npos;
        });
  }
}

BOOST_AUTO_TEST_CASE(reasons_in_words) {
  BOOST_CHECK_EQUAL(describe(StopReason::file, "runs/a"), "the file runs/a/stop");
  BOOST_CHECK_EQUAL(describe(StopReason::sigterm, "runs/a"), "SIGTERM");
  BOOST_CHECK_EQUAL(describe(StopReason::time_limit, ""), "the batch job's time limit");
}

BOOST_AUTO_TEST_SUITE_END()
