// SPDX-License-Identifier: Apache-2.0
// Requests from outside to save and end: signals, a file, the batch system's time limit.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace trireme {

/// Reasons to stop, in ascending order of urgency.
enum class StopReason : std::uint8_t {
  none,
  file,           ///< the file SAVE/stop appeared
  time_limit,     ///< the batch job's time limit is near
  closed_output,  ///< what reads stdout or stderr has ended
  sigusr1,
  sigusr2,
  sighup,
  sigxcpu,
  launcher,  ///< SIGCONT from mpirun, which is the first that it sends before it kills
  sigint,
  sigterm,
};

/// The reason in words, to follow "stopped by": "SIGTERM", "the file runs/a/stop", ….
[[nodiscard]] std::string describe(StopReason reason, const std::string& save);

/// What an exit code says of a run that ended without a checkpoint: 128 + the signal's number,
/// as in shells; 1 for other reasons.
[[nodiscard]] int exit_code_without_checkpoint(StopReason reason);

/// What a signal does from now on.
enum class SignalUse : std::uint8_t {
  start_up,   ///< ends the process with exit code 75: no work would be lost
  remembered  ///< caught_signal() returns it; a second SIGINT ends the process
};

/// Who reports signals, and where; how long the process lives after a signal.
struct SignalReports {
  int rank = 0;
  std::string host;
  std::string log;                     ///< a file to which the lines go too; may be empty
  bool saves = true;                   ///< whether the run keeps checkpoints
  bool erases = false;                 ///< whether a live line may stand on stderr
  double grace = 0;                    ///< the deck's stop_grace; 0: not set
  std::optional<double> kill_seconds;  ///< see mpirun_kill_seconds()
  bool launched = false;               ///< whether the parent process is a launcher
};

/// What this process knows without a deck.
[[nodiscard]] SignalReports reports_of(int rank);

/// Catches SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP and SIGXCPU from now on, as start_up says.
/// Under mpirun, SIGCONT from mpirun counts too. SIGPIPE is ignored: see log::output_closed().
/// Signals that were ignored from the start stay ignored. A caught signal is reported in one
/// line at once: by rank 0, or by the rank that alone got it. SIGSEGV and other faults are
/// reported before they end the process. A second call changes the reports. For every rank.
void catch_stop_signals(const SignalReports& reports);
/// Changes what a caught signal does.
void use_stop_signals(SignalUse use);
/// Restores the actions that catch_stop_signals() replaced.
void restore_stop_signals();
/// The most urgent signal that arrived, or none.
[[nodiscard]] StopReason caught_signal();
/// When this process will be killed because of a signal, by now(); empty if nobody said so.
[[nodiscard]] std::optional<double> kill_time();

/// Open MPI's mpirun ends ranks by SIGCONT, SIGTERM after these seconds, and SIGKILL after as
/// many again. Empty if mpirun did not start this process.
[[nodiscard]] std::optional<double> mpirun_kill_seconds(
    const std::function<const char*(const char*)>& environment);

/// The end of the batch job in seconds since 1970, from the environment. TRIREME_END_TIME
/// (seconds since 1970) works for any system. SLURM_JOB_END_TIME is next, followed by
/// PBS_WALLTIME, counted from this process's start, `started`. Empty if none is set. Throws
/// Error if TRIREME_END_TIME is no number.
[[nodiscard]] std::optional<double> batch_end_time(
    const std::function<const char*(const char*)>& environment, double started);

/// Requests to stop that one rank knows. Rank 0 also checks the file, the clock and the output.
class StopRequests {
 public:
  struct Options {
    std::string save;                ///< folder in which a file `stop` may appear; may be empty
    bool look = false;               ///< whether to check file and clock: rank 0
    std::optional<double> end_time;  ///< seconds since 1970
    double margin = 0;               ///< seconds before end_time; 0: measured
  };
  explicit StopRequests(Options options) : options_(std::move(options)) {}

  /// Checks for requests. `apart_seconds` is the longest time between two steps so far,
  /// without evaluations, which can be given up. `save_seconds` is the longest save so far, or
  /// an estimate before the first. With margin 0, a run stops when twice their sum plus 30 s is
  /// left. The file is checked at most once a second. A reason never reverts to none.
  [[nodiscard]] StopReason poll(double apart_seconds, double save_seconds);
  /// Removes the file, after the stop was obeyed.
  void obeyed() const;

 private:
  Options options_;
  StopReason known_ = StopReason::none;
  double looked_ = 0;  ///< when the file was last checked, by now()
};

}  // namespace trireme
