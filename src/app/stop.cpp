// SPDX-License-Identifier: Apache-2.0
// Reads signals, the file `stop` and the batch system's clock.
#include "stop.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <string_view>

#include "trireme/core/clock.hpp"
#include "trireme/core/error.hpp"
#include "trireme/core/log.hpp"

namespace trireme {

namespace {

std::atomic<StopReason> caught{StopReason::none};
// the only kind of object that a handler may touch
static_assert(std::atomic<StopReason>::is_always_lock_free);

struct Caught {
  int signal;
  StopReason reason;
};
constexpr std::array<Caught, 3> kCaught = {{{SIGUSR1, StopReason::sigusr1},
                                            {SIGUSR2, StopReason::sigusr2},
                                            {SIGTERM, StopReason::sigterm}}};

std::array<struct sigaction, kCaught.size()> usual;  ///< earlier actions of the signals

extern "C" void remember_signal(int signal) {
  for (const Caught& c : kCaught) {
    if (c.signal != signal) continue;
    StopReason before = caught.load();
    while (before < c.reason && !caught.compare_exchange_weak(before, c.reason)) {
    }
  }
}

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
    case StopReason::sigusr1:
      return "SIGUSR1";
    case StopReason::sigusr2:
      return "SIGUSR2";
    case StopReason::sigterm:
      return "SIGTERM";
  }
  return "nothing";
}

void catch_stop_signals() {
  for (std::size_t i = 0; i < kCaught.size(); ++i) {
    const int signal = kCaught[i].signal;
    TRM_CHECK(sigaction(signal, nullptr, &usual[i]) == 0, "signal {} is unknown", signal);
    if (usual[i].sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = remember_signal;
    action.sa_flags = SA_RESTART;  // do not interrupt reads and writes
    sigemptyset(&action.sa_mask);
    TRM_CHECK(sigaction(signal, &action, nullptr) == 0, "signal {} can't be caught", signal);
  }
}

void restore_stop_signals() {
  for (std::size_t i = 0; i < kCaught.size(); ++i) {
    sigaction(kCaught[i].signal, &usual[i], nullptr);
  }
}

StopReason caught_signal() { return caught.load(); }

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
