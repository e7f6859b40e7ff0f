// SPDX-License-Identifier: Apache-2.0
// What a rank looks at before each pass of a step: requests to stop, and progress.
#pragma once

#include <cstdint>
#include <functional>

#include "trireme/pipeline/executor.hpp"

namespace trireme {

/// Decides whether a step goes on. A training step is given up if it would end, with the save
/// that follows, after this process is killed. An evaluation is given up at any request.
class StepWatch {
 public:
  struct Options {
    std::function<bool()> asked;           ///< whether this rank knows a request to stop
    std::function<double()> save_seconds;  ///< how long a save takes; 0: the run keeps none
    bool shows = false;                    ///< whether to show the progress of the first step
  };
  explicit StepWatch(Options options) : options_(std::move(options)) {}
  ~StepWatch();
  StepWatch(const StepWatch&) = delete;
  StepWatch& operator=(const StepWatch&) = delete;

  void begin_step(std::int64_t iteration);
  /// The step, or all work queued for it, is done.
  void end_step();
  /// Lets the step be given up from its first pass on: its data did not come.
  void give_up() { hopeless_ = true; }
  /// Seconds of the last complete step; 0 before the first.
  [[nodiscard]] double step_seconds() const { return seconds_; }

  /// For Trainer::watch().
  [[nodiscard]] bool operator()(const PassNews& news);

 private:
  [[nodiscard]] bool would_end_late(const PassNews& news) const;
  void show(const PassNews& news);

  Options options_;
  std::int64_t iteration_ = 0;
  double began_ = 0;
  double seconds_ = 0;
  double shown_ = 0;
  bool hopeless_ = false;
  bool drawn_ = false;  ///< whether a live line stands
};

}  // namespace trireme
