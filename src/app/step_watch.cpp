// SPDX-License-Identifier: Apache-2.0
// Estimates when a step ends, and shows how far a long first step is.
#include "step_watch.hpp"

#include <algorithm>

#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"
#include "trireme/host/terminal.hpp"

#include "stop.hpp"

namespace trireme {

StepWatch::~StepWatch() {
  if (drawn_) log::hide();
}

void StepWatch::begin_step(std::int64_t iteration) {
  iteration_ = iteration;
  began_ = shown_ = now();
  hopeless_ = false;
}

void StepWatch::end_step() {
  seconds_ = now() - began_;
  if (drawn_) log::hide();
  drawn_ = false;
}

bool StepWatch::operator()(const PassNews& news) {
  if (!news.training) return options_.asked();
  if (options_.shows && seconds_ == 0) show(news);
  return hopeless_ || would_end_late(news);
}

bool StepWatch::would_end_late(const PassNews& news) const {
  const auto killed = kill_time();
  if (!killed) return false;
  const double done = static_cast<double>(news.pass) / static_cast<double>(news.passes);
  const double at = now();
  // Before a step was measured, its first passes say how long it takes.
  double whole = seconds_;
  if (whole == 0 && done > 0) whole = (at - began_) / done;
  return at + whole * (1 - done) + options_.save_seconds() > *killed;
}

void StepWatch::show(const PassNews& news) {
  constexpr double kTerminalSeconds = 0.5;
  constexpr double kLogSeconds = 5;
  const bool terminal = live_place().file != nullptr;
  if (now() - shown_ < (terminal ? kTerminalSeconds : kLogSeconds)) return;
  shown_ = now();
  const std::string line =
      fmt::format("iteration {}: micro-batch {}/{}", iteration_,
                  news.pass * news.micro_batches / news.passes + 1, news.micro_batches);
  if (!terminal) {
    log::info("{}", line);
    return;
  }
  drawn_ = true;
  log::show(live_place(), line);
}

}  // namespace trireme
