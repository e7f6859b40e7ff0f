// SPDX-License-Identifier: Apache-2.0
// Time, and the seconds that each phase of a step took.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trireme {

/// Seconds on a steady clock.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// The clock on the wall, which batch systems go by.
inline double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// The phases of a training step, as named in metrics.h5.
enum class Phase : std::uint8_t {
  data,
  forward,
  backward,
  reduce,
  pipeline_wait,
  optimizer,
  checkpoint
};
inline constexpr std::size_t kPhases = 7;
inline constexpr std::array<std::string_view, kPhases> kPhaseNames = {
    "data", "forward", "backward", "reduce", "pipeline_wait", "optimizer", "checkpoint"};

/// Accumulates seconds by phase. Phases may nest: the inner one's time is not counted in the
/// outer.
class PhaseClock {
 public:
  class Scope {
   public:
    Scope(PhaseClock& clock, Phase phase) : clock_(clock), outer_(clock.enter(phase)) {}
    ~Scope() { clock_.leave(outer_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PhaseClock& clock_;
    int outer_;
  };

  [[nodiscard]] Scope scope(Phase phase) { return {*this, phase}; }
  [[nodiscard]] const std::array<double, kPhases>& seconds() const { return seconds_; }
  void reset() { seconds_.fill(0); }
  /// Back to what it was: forgets what ran since.
  void reset(const std::array<double, kPhases>& seconds) { seconds_ = seconds; }

 private:
  int enter(Phase phase) {
    const int outer = current_;
    charge();
    current_ = static_cast<int>(phase);
    return outer;
  }
  void leave(int outer) {
    charge();
    current_ = outer;
  }
  void charge() {
    const double t = now();
    if (current_ >= 0) seconds_[static_cast<std::size_t>(current_)] += t - since_;
    since_ = t;
  }

  std::array<double, kPhases> seconds_{};
  int current_ = -1;
  double since_ = 0;
};

}  // namespace trireme
