// SPDX-License-Identifier: Apache-2.0
// Time, and the seconds that each phase of a step took.
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

/// Marks on a line of time, to be read later: the host's, or that of a GPU's queue of work.
class TimeLine {
 public:
  virtual ~TimeLine() = default;
  virtual void mark() = 0;
  /// Seconds from each mark to the next, from the last one of the previous call on. Waits until
  /// the last mark is past.
  [[nodiscard]] virtual std::vector<double> gaps() = 0;
};

class HostTimeLine : public TimeLine {
 public:
  void mark() override { marks_.push_back(now()); }
  std::vector<double> gaps() override {
    std::vector<double> seconds;
    for (std::size_t i = 1; i < marks_.size(); ++i)
      seconds.push_back(marks_[i] - marks_[i - 1]);
    if (!marks_.empty()) marks_ = {marks_.back()};
    return seconds;
  }

 private:
  std::vector<double> marks_;
};

/// What time is spent on; -1: none of them.
struct Work {
  int phase = -1;        ///< index into kPhaseNames
  int micro_batch = -1;  ///< of this rank's, in the step
  int chunk = -1;        ///< of its stage
  friend bool operator==(const Work&, const Work&) = default;
};

/// A part of a traced step; seconds, `start` since the step began.
struct Span {
  Work work;
  double start = 0;
  double seconds = 0;
};

/// Neighbours of the same work as one, without those below a microsecond, whose time goes to
/// the work that they interrupt, or nowhere.
[[nodiscard]] std::vector<Span> merge_spans(const std::vector<Span>& spans);

/// What a step took, and what of it in each phase.
struct StepTime {
  double seconds = 0;
  std::array<double, kPhases> phases{};
  std::vector<Span> spans = {};  ///< of a traced step, in order; of others none
};

/// Seconds by step and phase. Phases may nest: the inner one's time is not counted in the
/// outer.
class PhaseClock {
 public:
  /// As long as it lives there are no marks: the phases within count as what is outside.
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

  /// For the micro-batch and chunk of the scope around it.
  [[nodiscard]] Scope scope(Phase phase) {
    return scope(phase, current_.micro_batch, current_.chunk);
  }
  [[nodiscard]] Scope scope(Phase phase, int micro_batch, int chunk) {
    return {*this, {static_cast<int>(phase), micro_batch, chunk}};
  }
  [[nodiscard]] Hold hold() { return Hold(*this); }
  /// A step begins; what there was since the last one ended counts nowhere.
  void begin_step() { close(Until::nothing); }
  /// The same of a step whose spans are kept. Their zero is here, and pauses pass in it.
  void begin_traced_step() { close(Until::trace_begins); }
  void end_step() { close(Until::step_end); }
  /// What comes between these counts nowhere.
  void pause() {
    close(Until::step_goes_on);
    paused_ = true;
  }
  void resume() {
    close(Until::nothing);
    paused_ = false;
  }
  /// The steps that ended since the last call. May wait for their end.
  [[nodiscard]] std::vector<StepTime> take();

 private:
  enum class Until : std::uint8_t { step_goes_on, step_end, nothing, trace_begins };
  struct Stretch {
    Work work;
    Until until;
  };

  Work enter(const Work& work) {
    if (held_) return current_;
    close(Until::step_goes_on);
    return std::exchange(current_, work);
  }
  void close(Until until) {
    stretches_.push_back({current_, paused_ ? Until::nothing : until});
    line_->mark();
  }

  std::unique_ptr<TimeLine> line_;
  std::vector<Stretch> stretches_;  ///< between marks
  StepTime open_;                   ///< of a step that hasn't ended
  Work current_;
  bool paused_ = false;
  bool held_ = false;
  bool tracing_ = false;  ///< the open step
  double since_ = 0;      ///< the trace began
};

}  // namespace trireme
