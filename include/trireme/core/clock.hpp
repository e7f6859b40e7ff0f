// SPDX-License-Identifier: Apache-2.0
// Measures time, and the seconds that each phase of a training step takes.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace trireme {

/// Seconds on a steady clock.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Seconds of the wall clock, which batch systems use for their time limits.
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

/// Records marks in time, to be read later. A mark is in the order of the host's calls or in a
/// GPU stream.
class TimeLine {
 public:
  virtual ~TimeLine() = default;
  virtual void mark() = 0;
  /// Waits until the last mark has passed and returns the seconds from each mark to the next.
  /// The first gap begins at the last mark of the previous call.
  [[nodiscard]] virtual std::vector<double> gaps() = 0;
};

class HostTimeLine : public TimeLine {
 public:
  void mark() override { marks_.push_back(now()); }
  std::vector<double> gaps() override {
    std::vector<double> seconds;
    for (std::size_t i = 1; i < marks_.size(); ++i) {
      seconds.push_back(marks_[i] - marks_[i - 1]);
    }
    if (!marks_.empty()) marks_ = {marks_.back()};
    return seconds;
  }

 private:
  std::vector<double> marks_;
};

/// What a rank is doing. A field is -1 where it does not apply.
struct Work {
  int phase = -1;        ///< index into kPhaseNames
  int micro_batch = -1;  ///< index within the step, on this rank
  int chunk = -1;        ///< index within the rank's stage
  friend bool operator==(const Work&, const Work&) = default;
};

/// A stretch of a traced step, in seconds. `start` counts from the start of the step.
struct Span {
  Work work;
  double start = 0;
  double seconds = 0;
};

/// Merges adjacent spans of the same work and drops spans below a microsecond. The time of a
/// dropped span goes to the work that it interrupts, otherwise to no span.
[[nodiscard]] std::vector<Span> merge_spans(const std::vector<Span>& spans);

/// The seconds of a step, in all and by phase.
struct StepTime {
  double seconds = 0;
  std::array<double, kPhases> phases{};
  std::vector<Span> spans = {};  ///< in order; empty unless the step was traced
};

/// Measures seconds by step and phase. Phases may nest: the time of an inner phase is not
/// counted in the outer one.
class PhaseClock {
 public:
  /// While a Hold exists, scopes place no marks: their time counts for the phase around the
  /// Hold.
  class Hold {
   public:
    explicit Hold(PhaseClock& clock)
        : clock_(clock), outer_(std::exchange(clock.held_, true)) {}
    ~Hold() { clock_.held_ = outer_; }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    PhaseClock& clock_;
    bool outer_;
  };

  class Scope {
   public:
    Scope(PhaseClock& clock, const Work& work) : clock_(clock), outer_(clock.enter(work)) {}
    ~Scope() { clock_.enter(outer_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PhaseClock& clock_;
    Work outer_;
  };

  explicit PhaseClock(std::unique_ptr<TimeLine> line = std::make_unique<HostTimeLine>())
      : line_(std::move(line)) {
    line_->mark();
  }

  /// Enters a phase for the micro-batch and chunk of the enclosing scope.
  [[nodiscard]] Scope scope(Phase phase) {
    return scope(phase, current_.micro_batch, current_.chunk);
  }
  [[nodiscard]] Scope scope(Phase phase, int micro_batch, int chunk) {
    return {*this, {static_cast<int>(phase), micro_batch, chunk}};
  }
  [[nodiscard]] Hold hold() { return Hold(*this); }
  /// Starts a step. The time since the end of the last step is not counted.
  void begin_step() { close(Until::nothing); }
  /// Starts a step whose spans are kept. Time zero is `late` seconds before this call, and time
  /// goes on during pauses.
  void begin_traced_step(double late = 0) {
    close(Until::trace_begins);
    stretches_.back().late = late;
  }
  void end_step() { close(Until::step_end); }
  /// Time between pause() and resume() is not counted.
  void pause() {
    close(Until::step_goes_on);
    paused_ = true;
  }
  void resume() {
    close(Until::nothing);
    paused_ = false;
  }
  /// Returns the steps that ended since the last call. May wait until the last mark has passed.
  [[nodiscard]] std::vector<StepTime> take();

 private:
  enum class Until : std::uint8_t { step_goes_on, step_end, nothing, trace_begins };
  struct Stretch {
    Work work;
    Until until;
    double late = 0;  ///< seconds from a trace's time zero to its start
  };

  Work enter(const Work& work) {
    if (held_) return current_;
    close(Until::step_goes_on);
    return std::exchange(current_, work);
  }
  void close(Until until) {
    stretches_.push_back({current_, paused_ ? Until::nothing : until, 0});
    line_->mark();
  }

  std::unique_ptr<TimeLine> line_;
  std::vector<Stretch> stretches_;  ///< one for each mark
  StepTime open_;                   ///< the step that hasn't ended
  Work current_;
  bool paused_ = false;
  bool held_ = false;
  bool tracing_ = false;  ///< whether the open step is traced
  double since_ = 0;      ///< seconds since the trace's time zero
};

}  // namespace trireme
