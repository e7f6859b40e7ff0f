// SPDX-License-Identifier: Apache-2.0
// A list scheduler: each stage runs until its next input is missing, and the stage that sends
// that input wakes it. Every step is visited once, however long the plans wait.
#include "trireme/pipeline/simulate.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr const char* name_of(PlanStep::Kind kind) {
  return kind == PlanStep::Kind::forward ? "forward" : "backward";
}

class Simulator {
 public:
  Simulator(std::span<const std::vector<PlanStep>> plans, int chunks,
            std::span<const PartCost> costs, double latency)
      : plans_(plans),
        stages_(static_cast<int>(plans.size())),
        chunks_(chunks),
        costs_(costs),
        latency_(latency) {
    TRM_CHECK(stages_ > 0 && chunks > 0 && costs.size() == plans.size() * index(chunks),
              "{} costs for {} stages of {} chunks", costs.size(), stages_, chunks);
    for (const auto& steps : plans) {
      for (const PlanStep& s : steps) {
        TRM_CHECK(s.micro_batch >= 0 && s.chunk >= 0 && s.chunk < chunks,
                  "a step on micro-batch {}, chunk {}", s.micro_batch, s.chunk);
        micro_batches_ = std::max(micro_batches_, s.micro_batch + 1);
      }
    }
    const std::size_t slots = 2 * plans.size() * index(chunks) * index(micro_batches_);
    arrival_.assign(slots, kNever);
    alive_.assign(slots / 2, false);
    next_.assign(plans.size(), 0);
    free_at_.assign(plans.size(), 0);
    in_flight_.assign(plans.size(), 0);
    result_.busy.assign(plans.size(), 0);
    result_.max_in_flight.assign(plans.size(), 0);
    result_.spans.resize(plans.size());
  }

  Simulation run() {
    for (int stage = stages_ - 1; stage >= 0; --stage) awake_.push_back(stage);
    while (!awake_.empty()) {
      const int stage = awake_.back();
      awake_.pop_back();
      while (advance(stage)) {
      }
    }
    finish();
    return std::move(result_);
  }

 private:
  static std::size_t index(int i) { return static_cast<std::size_t>(i); }
  [[nodiscard]] const PlanStep* next_step(int stage) const {
    const auto& steps = plans_[index(stage)];
    return next_[index(stage)] < steps.size() ? &steps[next_[index(stage)]] : nullptr;
  }
  /// Index in arrival_ for the input of a step on (stage, chunk).
  [[nodiscard]] std::size_t slot(const PlanStep& s, int stage, int chunk) const {
    return (index(model_part(stage, chunk, stages_)) * index(micro_batches_) +
            index(s.micro_batch)) *
               2 +
           (s.kind == PlanStep::Kind::backward ? 1U : 0U);
  }
  /// When the step's input arrives; kNever if this input was not sent yet.
  [[nodiscard]] double ready(const PlanStep& s, int stage) const {
    const std::size_t at = slot(s, stage, s.chunk);
    if (s.kind == PlanStep::Kind::backward && !alive_[at / 2]) return kNever;
    return input_from(s, stage, stages_, chunks_) ? arrival_[at] : 0;
  }

  /// Runs the next step of the stage if the step's input has arrived.
  bool advance(int stage) {
    const PlanStep* step = next_step(stage);
    if (step == nullptr) return false;
    const double start = ready(*step, stage);
    if (start == kNever) return false;
    const std::size_t at = slot(*step, stage, step->chunk);
    const bool forward = step->kind == PlanStep::Kind::forward;
    const PartCost& cost = costs_[index(model_part(stage, step->chunk, stages_))];
    const double seconds = forward ? cost.forward : cost.backward;
    const double begin = std::max(free_at_[index(stage)], start);
    const double end = begin + seconds;
    free_at_[index(stage)] = end;
    result_.busy[index(stage)] += seconds;
    result_.spans[index(stage)].push_back({begin, end});
    alive_[at / 2] = forward;
    int& in_flight = in_flight_[index(stage)];
    in_flight += forward ? 1 : -1;
    result_.max_in_flight[index(stage)] =
        std::max(result_.max_in_flight[index(stage)], in_flight);
    if (input_from(*step, stage, stages_, chunks_)) {
      arrival_[at] = kNever;  // taken
      --on_the_way_;
    }
    ++next_[index(stage)];
    if (const auto to = output_to(*step, stage, stages_, chunks_)) {
      arrival_[slot(*step, to->stage, to->chunk)] = end + (to->stage == stage ? 0.0 : latency_);
      ++on_the_way_;
      if (to->stage != stage) awake_.push_back(to->stage);
    }
    return true;
  }

  void finish() {
    double busy = 0;
    for (int stage = 0; stage < stages_; ++stage) {
      result_.makespan = std::max(result_.makespan, free_at_[index(stage)]);
      busy += result_.busy[index(stage)];
      if (const PlanStep* step = next_step(stage)) explain(stage, *step);
    }
    if (result_.makespan > 0) result_.bubble_fraction = 1 - busy / (stages_ * result_.makespan);
    if (result_.deadlock.empty() && on_the_way_ != 0) {
      result_.deadlock = fmt::format("{} outputs were never taken", on_the_way_);
    }
    result_.finished = result_.deadlock.empty();
  }

  void explain(int stage, const PlanStep& step) {
    const auto from = input_from(step, stage, stages_, chunks_);
    const bool no_forward =
        step.kind == PlanStep::Kind::backward && !alive_[slot(step, stage, step.chunk) / 2];
    result_.deadlock +=
        fmt::format("{}stage {} at step {} ({} of micro-batch {}, chunk {}) waits for {}",
                    result_.deadlock.empty() ? "" : "; ", stage, next_[index(stage)],
                    name_of(step.kind), step.micro_batch, step.chunk,
                    no_forward ? std::string("its own forward")
                               : fmt::format("stage {}, chunk {}", from ? from->stage : stage,
                                             from ? from->chunk : step.chunk));
  }

  std::span<const std::vector<PlanStep>> plans_;
  int stages_;
  int chunks_;
  int micro_batches_ = 0;
  std::span<const PartCost> costs_;
  double latency_;
  std::vector<double> arrival_;  ///< per slot: when an input that isn't taken yet arrives
  std::vector<bool> alive_;      ///< per part and micro-batch: forward done, backward not
  std::vector<std::size_t> next_;
  std::vector<double> free_at_;
  std::vector<int> in_flight_;
  std::vector<int> awake_;
  long long on_the_way_ = 0;
  Simulation result_;
};

}  // namespace

Simulation simulate(std::span<const std::vector<PlanStep>> plans, int chunks,
                    std::span<const PartCost> costs, double latency) {
  return Simulator(plans, chunks, costs, latency).run();
}

Simulation simulate(std::span<const std::vector<PlanStep>> plans, int chunks,
                    const PartCost& cost, double latency) {
  const std::vector<PartCost> costs(
      plans.size() * static_cast<std::size_t>(std::max(chunks, 0)), cost);
  return simulate(plans, chunks, std::span<const PartCost>(costs), latency);
}

}  // namespace trireme
