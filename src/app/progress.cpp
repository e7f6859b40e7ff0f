// SPDX-License-Identifier: Apache-2.0
// Progress on a terminal or in a log.
#include "trireme/app/progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <unistd.h>

#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"

namespace trireme {

namespace {

constexpr double kTerminalSeconds = 0.1;
constexpr double kLogSeconds = 5;
constexpr int kBarWidth = 24;

}  // namespace

std::string duration_text(double seconds) {
  const auto s = static_cast<std::int64_t>(std::lround(std::max(seconds, 0.0)));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}:{:02} min", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}:{:02} h", s / 3600, s / 60 % 60);
  return fmt::format("{} d {} h", s / 86400, s / 3600 % 24);
}

Progress::Progress(std::string what, std::string unit, double total, double done)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      first_(done),
      started_(now()),
      shown_(started_),
      terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() { clear(); }

void Progress::update(double done) {
  const double at = now();
  if (at - shown_ < (terminal_ ? kTerminalSeconds : kLogSeconds)) return;
  shown_ = at;
  if (!terminal_) {
    log::info("{}", line(done));
    return;
  }
  const double share = total_ > 0 ? std::clamp(done / total_, 0.0, 1.0) : 1;
  const int full = static_cast<int>(share * kBarWidth);
  fmt::print(stderr, "\r\033[K[{:#<{}}{:.<{}}] {}", "", full, "", kBarWidth - full, line(done));
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::clear() {
  if (!drawn_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
  drawn_ = false;
}

std::string Progress::line(double done) const {
  const double seconds = std::max(now() - started_, 1e-9);
  const double rate = (done - first_) / seconds;
  const double share = total_ > 0 ? 100 * done / total_ : 100;
  return fmt::format("{}: {:.0f} of {:.0f} {} ({:.0f}%), {:.1f} {}/s, {} left", what_, done,
                     total_, unit_, share, rate, unit_,
                     rate > 0 ? duration_text((total_ - done) / rate) : "?");
}

}  // namespace trireme
