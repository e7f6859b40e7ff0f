// SPDX-License-Identifier: Apache-2.0
// Turns the stretches between marks into steps and spans.
#include "trireme/core/clock.hpp"

namespace trireme {

namespace {

constexpr double kShortest = 1e-6;  // seconds; shorter spans are dropped

}  // namespace

std::vector<StepTime> PhaseClock::take() {
  const auto gaps = line_->gaps();
  std::vector<StepTime> steps;
  for (std::size_t i = 0; i < stretches_.size(); ++i) {
    const auto& [work, until, late] = stretches_[i];
    if (until == Until::step_goes_on || until == Until::step_end) {
      open_.seconds += gaps[i];
      if (work.phase >= 0) open_.phases[static_cast<std::size_t>(work.phase)] += gaps[i];
      if (tracing_) open_.spans.push_back({work, since_, gaps[i]});
    }
    since_ += gaps[i];
    if (until == Until::trace_begins) {
      tracing_ = true;
      since_ = late;
    }
    if (until != Until::step_end) continue;
    steps.push_back(std::exchange(open_, {}));
    tracing_ = false;
  }
  stretches_.clear();
  return steps;
}

std::vector<Span> merge_spans(const std::vector<Span>& spans) {
  std::vector<Span> merged;
  double reached = 0;  // end of the previous span, kept or not; a pause leaves a gap after this
  for (const Span& span : spans) {
    const bool leap = span.start - reached > kShortest;
    reached = span.start + span.seconds;
    if (span.seconds < kShortest) continue;
    if (!leap && !merged.empty() && merged.back().work == span.work) {
      merged.back().seconds = reached - merged.back().start;
    } else {
      merged.push_back(span);
    }
  }
  return merged;
}

}  // namespace trireme
