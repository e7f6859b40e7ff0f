// SPDX-License-Identifier: Apache-2.0
// Requests from outside to save and end: signals, a file, the batch system's time limit.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace trireme {

/// By rank of urgency.
enum class StopReason : std::uint8_t {
  none,
  file,        ///< SAVE/stop appeared
  time_limit,  ///< the batch job is about to be ended
  sigusr1,
  sigusr2,
  sigterm,
};

/// "SIGTERM", "the file runs/a/stop", …: after "stopped by".
[[nodiscard]] std::string describe(StopReason reason, const std::string& save);

/// From now on SIGTERM, SIGUSR1 and SIGUSR2 are remembered in place of ending the process;
/// those that were ignored from the start stay so. Once for the process; every rank.
void catch_stop_signals();
/// Undoes that: from now on they do what they did before.
void restore_stop_signals();
/// The most urgent one that arrived, or none.
[[nodiscard]] StopReason caught_signal();

/// End of the batch job in seconds since 1970, where the environment tells: TRIREME_END_TIME
/// (for any system: seconds since 1970), SLURM_JOB_END_TIME, or PBS_WALLTIME (seconds, counted
/// from `started`, the start of this process). Nothing where it tells nothing. Throws Error if
/// TRIREME_END_TIME is no number.
[[nodiscard]] std::optional<double> batch_end_time(
    const std::function<const char*(const char*)>& environment, double started);

/// What one rank knows of requests to stop. Rank 0 also looks at the file and the clock.
class StopRequests {
 public:
  struct Options {
    std::string save;                ///< folder in which a file `stop` may appear; may be empty
    bool look = false;               ///< at file and clock: rank 0
    std::optional<double> end_time;  ///< seconds since 1970
    double margin = 0;               ///< seconds before end_time; 0: from what was measured
  };
  explicit StopRequests(Options options) : options_(std::move(options)) {}

  /// Between steps. `apart_seconds`: the longest time between two calls so far, evaluations
  /// included; `save_seconds`: the longest save so far, and before the first an estimate. With
  /// margin 0 a run stops when twice both and 30 s are left. The file is looked for at most
  /// once a second. Never goes back to none.
  [[nodiscard]] StopReason poll(double apart_seconds, double save_seconds);
  /// Removes the file, when the stop has been obeyed.
  void obeyed() const;

 private:
  Options options_;
  StopReason known_ = StopReason::none;
  double looked_ = 0;  ///< at the file, by the clock of now()
};

}  // namespace trireme
