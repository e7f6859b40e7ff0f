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
  file,        ///< the file SAVE/stop appeared
  time_limit,  ///< the batch job's time limit is near
  sigusr1,
  sigusr2,
  sigterm,
};

/// The reason in words, to follow "stopped by": "SIGTERM", "the file runs/a/stop", ….
[[nodiscard]] std::string describe(StopReason reason, const std::string& save);

/// Records SIGTERM, SIGUSR1 and SIGUSR2 from now on, instead of letting them end the process.
/// Signals that were ignored from the start stay ignored. Call once a process, on every rank.
void catch_stop_signals();
/// Restores the actions that catch_stop_signals() replaced.
void restore_stop_signals();
/// The most urgent signal that arrived, or none.
[[nodiscard]] StopReason caught_signal();

/// The end of the batch job in seconds since 1970, from the environment. TRIREME_END_TIME
/// (seconds since 1970) works for any system. SLURM_JOB_END_TIME is next, followed by
/// PBS_WALLTIME, counted from this process's start, `started`. Empty if none is set. Throws
/// Error if TRIREME_END_TIME is no number.
[[nodiscard]] std::optional<double> batch_end_time(
    const std::function<const char*(const char*)>& environment, double started);

/// Requests to stop that one rank knows. Rank 0 also checks the file and the clock.
class StopRequests {
 public:
  struct Options {
    std::string save;                ///< folder in which a file `stop` may appear; may be empty
    bool look = false;               ///< whether to check file and clock: rank 0
    std::optional<double> end_time;  ///< seconds since 1970
    double margin = 0;               ///< seconds before end_time; 0: measured
  };
  explicit StopRequests(Options options) : options_(std::move(options)) {}

  /// Checks for requests between steps. `apart_seconds` is the longest time between two calls
  /// so far, evaluations included. `save_seconds` is the longest save so far, or an estimate
  /// before the first. With margin 0, a run stops when twice their sum plus 30 s is left. The
  /// file is checked at most once a second. A reason never reverts to none.
  [[nodiscard]] StopReason poll(double apart_seconds, double save_seconds);
  /// Removes the file, after the stop was obeyed.
  void obeyed() const;

 private:
  Options options_;
  StopReason known_ = StopReason::none;
  double looked_ = 0;  ///< when the file was last checked, by now()
};

}  // namespace trireme
