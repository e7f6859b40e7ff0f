// SPDX-License-Identifier: Apache-2.0
// Signal handlers. They touch atomics and lines that were made beforehand, and call write(2).
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <limits>
#include <unistd.h>
#include <utility>

#include "trireme/core/error.hpp"

#include "exit_codes.hpp"
#include "stop.hpp"

namespace trireme {

namespace {

struct Stop {
  int signal;
  StopReason reason;
};
constexpr std::array<Stop, 7> kStops = {{{SIGCONT, StopReason::launcher},
                                         {SIGUSR1, StopReason::sigusr1},
                                         {SIGUSR2, StopReason::sigusr2},
                                         {SIGHUP, StopReason::sighup},
                                         {SIGXCPU, StopReason::sigxcpu},
                                         {SIGINT, StopReason::sigint},
                                         {SIGTERM, StopReason::sigterm}}};
constexpr std::array<int, 6> kFaults = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};

constexpr double kNever = std::numeric_limits<double>::infinity();

std::atomic<StopReason> caught{StopReason::none};
std::atomic<double> killed_at{kNever};  ///< on the clock of now()
std::atomic<SignalUse> use{SignalUse::start_up};
std::atomic<bool> interrupted{false};  ///< whether SIGINT was remembered
// the only kind of object that a handler may touch
static_assert(std::atomic<StopReason>::is_always_lock_free &&
              std::atomic<double>::is_always_lock_free &&
              std::atomic<SignalUse>::is_always_lock_free);

/// Lines for one signal, made before handlers are installed and never changed afterwards.
struct Lines {
  std::string start_up;
  std::string remembered;
  std::string from_launcher;  ///< remembered, when the launcher sent the signal
  std::string fault;
};
std::array<Lines, kStops.size()> stop_lines;
std::array<std::string, kFaults.size()> fault_lines;
std::string second_line;
std::string log_path;
bool speaks = false;    ///< rank 0
bool launched = false;  ///< whether the parent process is a launcher
bool installed = false;
double grace = kNever;         ///< seconds from any signal until the kill
double kill_seconds = kNever;  ///< seconds from the launcher's SIGTERM until the kill

std::array<struct sigaction, kStops.size()> usual_stops;  ///< earlier actions of the signals
std::array<struct sigaction, kFaults.size()> usual_faults;
struct sigaction usual_pipe;

void write_all(int file, const char* text, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = write(file, text, bytes);
    if (n < 0 && errno != EINTR) return;
    if (n <= 0) continue;
    text += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

/// The part of a line that a log file takes: the live line's erasure stays out.
const char* after_erasure(const std::string& line) {
  const char* text = line.c_str();
  return *text == '\r' ? text + 4 : text;  // "\r\033[K"
}

void append_to_log(const std::string& line) {
  if (log_path.empty()) return;
  const int file = open(log_path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file < 0) return;
  const char* text = after_erasure(line);
  write_all(file, text, std::strlen(text));
  close(file);
}

void report(const std::string& line) {
  write_all(STDERR_FILENO, line.data(), line.size());
  append_to_log(line);
}

bool from_launcher(const siginfo_t& info) {
  return launched && info.si_code <= 0 && info.si_pid == getppid();
}

/// Whether a process other than the launcher sent the signal to this rank.
bool sent_to_this_rank(const siginfo_t& info) {
  return info.si_code <= 0 && info.si_pid != 0 && info.si_pid != getppid();
}

void end_by(int signal) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
  raise(signal);  // takes effect when the handler returns
}

/// Moves the time of the kill forward.
void expect_kill(int signal, const siginfo_t& info) {
  double seconds = grace;
  if (from_launcher(info) && signal == SIGCONT) seconds = std::min(seconds, 2 * kill_seconds);
  if (from_launcher(info) && signal == SIGTERM) seconds = std::min(seconds, kill_seconds);
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);  // the clock of now()
  const double at =
      static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9 + seconds;
  double before = killed_at.load();
  while (at < before && !killed_at.compare_exchange_weak(before, at)) {
  }
}

void take_stop(std::size_t i, const siginfo_t& info) {
  const auto [signal, reason] = kStops[i];
  if (signal == SIGCONT && !from_launcher(info)) return;
  const bool reports = speaks || sent_to_this_rank(info);
  if (use == SignalUse::start_up) {
    // The launcher also ends ranks after an error, which was reported.
    if (reports) (from_launcher(info) ? append_to_log : report)(stop_lines[i].start_up);
    _exit(kStopped);
  }
  if (signal == SIGINT && interrupted.exchange(true)) {
    if (reports) report(second_line);
    end_by(signal);
    return;
  }
  expect_kill(signal, info);
  StopReason before = caught.load();
  const bool first = before == StopReason::none;
  while (before < reason && !caught.compare_exchange_weak(before, reason)) {
  }
  if (!first || !reports) return;
  report(from_launcher(info) ? stop_lines[i].from_launcher : stop_lines[i].remembered);
}

extern "C" void on_stop(int signal, siginfo_t* info, void* /*context*/) {
  const int before = errno;
  for (std::size_t i = 0; i < kStops.size(); ++i) {
    if (kStops[i].signal == signal) take_stop(i, *info);
  }
  errno = before;
}

extern "C" void on_fault(int signal) {
  for (std::size_t i = 0; i < kFaults.size(); ++i) {
    if (kFaults[i] != signal) continue;
    report(fault_lines[i]);
    sigaction(signal, &usual_faults[i], nullptr);
  }
  raise(signal);  // the earlier action follows when this handler returns
}

const char* name_of(int signal) {
  const char* name = sigabbrev_np(signal);
  return name == nullptr ? "?" : name;
}

void make_lines(const SignalReports& r) {
  const std::string place = r.rank == 0 ? "" : fmt::format(" (rank {} on {})", r.rank, r.host);
  const std::string begin = std::string(r.erases ? "\r\033[K" : "") + "trireme: ";
  const char* const then = r.saves ? "saving after this step"
                                   : "ending after this step; the run keeps no checkpoint";
  for (std::size_t i = 0; i < kStops.size(); ++i) {
    const int signal = kStops[i].signal;
    const std::string got = fmt::format("SIG{}{}", name_of(signal), place);
    const bool kills = signal == SIGCONT || signal == SIGTERM;
    const std::string by_launcher = kills ? "the launcher was asked to end or lost a rank"
                                          : fmt::format("{} from the launcher", got);
    Lines& lines = stop_lines[i];
    lines.start_up =
        fmt::format("{}{} during start-up: ended before the first step; start again\n", begin,
                    signal == SIGCONT ? by_launcher : got);
    lines.remembered = fmt::format("{}{}: {}; a second Ctrl-C ends now\n", begin, got, then);
    lines.from_launcher =
        fmt::format("{}{}: {}; a second Ctrl-C ends now\n", begin, by_launcher, then);
  }
  for (std::size_t i = 0; i < kFaults.size(); ++i) {
    fault_lines[i] =
        fmt::format("{}ended by SIG{}{}: a fault of the program or its libraries\n", begin,
                    name_of(kFaults[i]), place);
  }
  second_line = fmt::format("{}second SIGINT{}: ended at once{}\n", begin, place,
                            r.saves ? "; the last checkpoint is as it was" : "");
  log_path = r.log;
  speaks = r.rank == 0;
  launched = r.launched;
  grace = r.grace > 0 ? r.grace : kNever;
  kill_seconds = r.kill_seconds.value_or(kNever);
}

void catch_stops() {
  for (std::size_t i = 0; i < kStops.size(); ++i) {
    const int signal = kStops[i].signal;
    TRM_CHECK(sigaction(signal, nullptr, &usual_stops[i]) == 0, "signal {} is unknown", signal);
    if (usual_stops[i].sa_handler == SIG_IGN) continue;
    // With job control, mpirun passes on the SIGCONT of a shell.
    const bool job_control = std::getenv("OMPI_MCA_orte_forward_job_control") != nullptr;
    if (signal == SIGCONT && (kill_seconds == kNever || job_control)) continue;
    struct sigaction action {};
    action.sa_sigaction = on_stop;
    action.sa_flags = SA_RESTART | SA_SIGINFO;  // do not interrupt reads and writes
    sigemptyset(&action.sa_mask);
    for (const Stop& s : kStops) sigaddset(&action.sa_mask, s.signal);
    TRM_CHECK(sigaction(signal, &action, nullptr) == 0, "signal {} can't be caught", signal);
  }
}

/// An overflowed stack has no room for a handler.
void make_stack() {
  static std::array<char, 1U << 16U> room;
  stack_t stack{};
  stack.ss_sp = room.data();
  stack.ss_size = room.size();
  sigaltstack(&stack, nullptr);
}

/// The lines of the handlers end with the program: nothing is left to save by then.
void ignore_stops_at_exit() {
  if (!installed) return;
  struct sigaction ignored {};
  ignored.sa_handler = SIG_IGN;
  for (const Stop& s : kStops) sigaction(s.signal, &ignored, nullptr);
  for (std::size_t i = 0; i < kFaults.size(); ++i) {
    sigaction(kFaults[i], &usual_faults[i], nullptr);
  }
}

}  // namespace

void catch_stop_signals(const SignalReports& reports) {
  static const int registered = std::atexit(ignore_stops_at_exit);
  TRM_CHECK(registered == 0, "atexit failed");
  restore_stop_signals();  // no handler may read lines while they change
  installed = true;
  make_lines(reports);
  make_stack();
  for (std::size_t i = 0; i < kFaults.size(); ++i) {
    struct sigaction action {};
    action.sa_handler = on_fault;
    action.sa_flags = SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(kFaults[i], &action, &usual_faults[i]);
  }
  struct sigaction ignored {};
  ignored.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignored, &usual_pipe);
  catch_stops();
}

void use_stop_signals(SignalUse from_now_on) { use = from_now_on; }

void restore_stop_signals() {
  if (!std::exchange(installed, false)) return;
  for (std::size_t i = 0; i < kStops.size(); ++i) {
    sigaction(kStops[i].signal, &usual_stops[i], nullptr);
  }
  for (std::size_t i = 0; i < kFaults.size(); ++i) {
    sigaction(kFaults[i], &usual_faults[i], nullptr);
  }
  sigaction(SIGPIPE, &usual_pipe, nullptr);
}

StopReason caught_signal() { return caught.load(); }

std::optional<double> kill_time() {
  const double at = killed_at.load();
  return at == kNever ? std::nullopt : std::optional(at);
}

int exit_code_without_checkpoint(StopReason reason) {
  for (const Stop& s : kStops) {
    if (s.reason == reason) return 128 + s.signal;
  }
  return 1;
}

}  // namespace trireme
