// SPDX-License-Identifier: Apache-2.0
// Reads the file `stop` and the batch system's clock, and knows how long a stop may take.
#include "stop.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "trireme/comm/launcher.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/error.hpp"
#include "trireme/core/log.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/terminal.hpp"

namespace trireme {

namespace {

/// Parses all of the text as a finite number ≥ 0.
std::optional<double> to_number(std::string_view text) {
  double x = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  if (!whole || !std::isfinite(x) || x < 0) return std::nullopt;
  return x;
}

/// Parses [[HH:]MM:]SS.
std::optional<double> to_seconds(std::string_view text) {
  double seconds = 0;
  for (int parts = 1; parts <= 3; ++parts) {
    const std::size_t colon = text.find(':');
    const auto part = to_number(text.substr(0, colon));
    if (!part) return std::nullopt;
    seconds = 60 * seconds + *part;
    if (colon == std::string_view::npos) return seconds;
    text.remove_prefix(colon + 1);
  }
  return std::nullopt;
}

std::string stop_file(const std::string& save) { return save + "/stop"; }

}  // namespace

std::string describe(StopReason reason, const std::string& save) {
  switch (reason) {
    case StopReason::none:
      break;
    case StopReason::file:
      return "the file " + stop_file(save);
    case StopReason::time_limit:
      return "the batch job's time limit";
    case StopReason::closed_output:
      return "a closed pipe: what read this output has ended";
    case StopReason::sigusr1:
      return "SIGUSR1";
    case StopReason::sigusr2:
      return "SIGUSR2";
    case StopReason::sighup:
      return "SIGHUP";
    case StopReason::sigxcpu:
      return "SIGXCPU, the limit of processor time";
    case StopReason::launcher:
      return "the launcher, which was asked to end or lost a rank";
    case StopReason::sigint:
      return "SIGINT";
    case StopReason::sigterm:
      return "SIGTERM";
  }
  return "nothing";
}

SignalReports reports_of(int rank) {
  SignalReports reports;
  reports.rank = rank;
  reports.host = host_name();
  reports.erases = live_place().err;
  reports.kill_seconds = mpirun_kill_seconds(std::getenv);
  reports.launched = launched_rank(std::getenv).has_value();
  return reports;
}

std::optional<double> mpirun_kill_seconds(
    const std::function<const char*(const char*)>& environment) {
  if (environment("OMPI_COMM_WORLD_RANK") == nullptr) return std::nullopt;
  for (const char* name :
       {"OMPI_MCA_odls_base_sigkill_timeout", "PRTE_MCA_odls_base_sigkill_timeout"}) {
    const char* text = environment(name);
    if (text == nullptr) continue;
    if (const auto seconds = to_number(text)) return seconds;
  }
  return 1.0;  // the default of Open MPI 4.1
}

std::optional<double> batch_end_time(const std::function<const char*(const char*)>& environment,
                                     double started) {
  if (const char* text = environment("TRIREME_END_TIME")) {
    const auto end = to_number(text);
    TRM_REQUIRE(end, "TRIREME_END_TIME expects seconds since 1970, as of `date +%s`, got '{}'",
                text);
    return end;
  }
  // Values of the batch system are used only where they make sense.
  if (const char* text = environment("SLURM_JOB_END_TIME")) {
    if (const auto end = to_number(text); end && *end > 0) return end;
  }
  if (const char* text = environment("PBS_WALLTIME")) {
    if (const auto seconds = to_seconds(text); seconds && *seconds > 0) {
      return started + *seconds;
    }
  }
  return std::nullopt;
}

StopReason StopRequests::poll(double apart_seconds, double save_seconds) {
  known_ = std::max(known_, caught_signal());
  if (!options_.look) return known_;
  if (log::output_closed()) known_ = std::max(known_, StopReason::closed_output);
  if (options_.end_time) {
    const double margin =
        options_.margin > 0 ? options_.margin : 2 * apart_seconds + 2 * save_seconds + 30;
    if (seconds_since_1970() + margin >= *options_.end_time) {
      known_ = std::max(known_, StopReason::time_limit);
    }
  }
  if (!options_.save.empty() && now() - looked_ >= 1) {
    looked_ = now();
    std::error_code error;  // an unreadable file counts as absent
    if (std::filesystem::exists(stop_file(options_.save), error)) {
      known_ = std::max(known_, StopReason::file);
    }
  }
  return known_;
}

void StopRequests::obeyed() const {
  if (!options_.look || options_.save.empty()) return;
  std::error_code error;
  std::filesystem::remove(stop_file(options_.save), error);
  if (error) {
    log::warn("{}: cannot remove: {}; this file would stop the next run too",
              stop_file(options_.save), error.message());
  }
}

}  // namespace trireme
