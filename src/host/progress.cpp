// SPDX-License-Identifier: Apache-2.0
// Shows progress on a terminal or in a log.
#include "trireme/host/progress.hpp"

#include <algorithm>
#include <cmath>

#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"
#include "trireme/host/terminal.hpp"

namespace trireme {

namespace {

constexpr double kTerminalSeconds = 0.1;
constexpr double kLogSeconds = 5;
constexpr int kWidestBar = 24;
constexpr int kNarrowestBar = 6;

}  // namespace

std::string duration_text(double seconds) {
  const auto s = static_cast<std::int64_t>(std::lround(std::max(seconds, 0.0)));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}:{:02} min", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}:{:02} h", s / 3600, s / 60 % 60);
  return fmt::format("{} d {} h", s / 86400, s / 3600 % 24);
}

std::string bar_line(double share, std::vector<std::string> parts, int width) {
  const int room = std::max(width - 1, 0);  // a full line would wrap
  const auto text = [&] { return fmt::format("{}", fmt::join(parts, " | ")); };
  while (parts.size() > 1 && static_cast<int>(text().size()) > room) {
    parts.erase(parts.size() > 3 ? parts.end() - 2 : parts.end() - 1);
  }
  std::string line = text();
  const int bar = std::min(room - static_cast<int>(line.size()) - 3, kWidestBar);
  if (bar < kNarrowestBar) return line.substr(0, static_cast<std::size_t>(room));
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * bar);
  return fmt::format("[{:#<{}}{:.<{}}] {}", "", full, "", bar - full, line);
}

Progress::Progress(std::string what, std::string unit, double total, double done)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      first_(done),
      started_(now()),
      shown_(started_),
      terminal_(live_place().file != nullptr) {}

Progress::~Progress() {
  if (terminal_) log::hide();
}

void Progress::update(double done) {
  const double at = now();
  if (at - shown_ < (terminal_ ? kTerminalSeconds : kLogSeconds)) return;
  shown_ = at;
  if (terminal_) {
    const double share = total_ > 0 ? done / total_ : 0;
    log::show(live_place(), bar_line(share, parts(done), live_columns()));
  } else {
    log::info("{}", fmt::join(parts(done), ", "));
  }
}

std::vector<std::string> Progress::parts(double done) const {
  const double rate = (done - first_) / std::max(now() - started_, 1e-9);
  const std::string unit = unit_.empty() ? "" : " " + unit_;
  const bool known = total_ > 0;
  std::vector<std::string> all = {
      known ? fmt::format("{} {:.0f} of {:.0f}{}", what_, done, total_, unit)
            : fmt::format("{} {:.0f}{}", what_, done, unit)};
  if (news_.empty()) {
    if (known) all.push_back(fmt::format("{:.0f}%", 100 * done / total_));
    all.push_back(fmt::format("{:.1f}{}/s", rate, unit));
  }
  all.insert(all.end(), news_.begin(), news_.end());
  if (known) {
    all.push_back(
        fmt::format("{} left", rate > 0 ? duration_text((total_ - done) / rate) : "?"));
  }
  return all;
}

}  // namespace trireme
