// SPDX-License-Identifier: Apache-2.0
// Adds up the times of units, collectives over dp and the update.
#include "trireme/forecast/time_plan.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "trireme/deck/stage_bounds.hpp"
#include "trireme/model/trained.hpp"
#include "trireme/optim/optimizer_table.hpp"

#include "trained_shares.hpp"
#include "unit_times.hpp"

namespace trireme {

namespace {

/// One micro-batch in one model part.
struct PartTime {
  UnitTime unit;         ///< compute and tp
  double gathers = 0;    ///< waiting for stage 3's values, in forward
  double again = 0;      ///< ... and in backward
  double reduction = 0;  ///< waiting for the gradients' reduction after backward

  [[nodiscard]] PartCost cost() const {
    return {unit.forward.sum() + gathers, unit.backward.sum() + again + reduction};
  }
  [[nodiscard]] double data() const { return gathers + again + reduction; }
};

/// A deck's parts on a mesh, and what comes once a step.
class StepTimes {
 public:
  StepTimes(const Deck& deck, const MeshShape& mesh, const Machine& machine)
      : deck_(deck),
        mesh_(mesh),
        machine_(machine),
        links_(mesh, machine),
        trained_(trained_shares(deck.model)),
        lowest_(first_trained_unit(deck.model)) {
    const auto units = list_units(deck.model);
    const auto bounds = stage_bounds(deck);
    for (std::size_t part = 0; part + 1 < bounds.size(); ++part) {
      parts_.push_back(part_time(units, bounds[part], bounds[part + 1]));
    }
    const auto stages = static_cast<std::size_t>(mesh.pp);
    parameters_.assign(stages, 0);
    for (std::size_t part = 0; part + 1 < bounds.size(); ++part) {
      parameters_[part % stages] += elements(units, bounds[part], bounds[part + 1], true);
    }
  }

  [[nodiscard]] std::vector<PartCost> costs() const {
    std::vector<PartCost> costs;
    for (const PartTime& p : parts_) costs.push_back(p.cost());
    return costs;
  }
  [[nodiscard]] double message() const {
    const auto& m = deck_.model;
    const auto elements = static_cast<double>(deck_.train_micro_batch_size_per_gpu *
                                              m.seq_length * m.hidden_size);
    return links_.message_over_pp(elements * static_cast<double>(size_of(deck_.types.compute)) /
                                  (deck_.sequence_parallel ? mesh_.tp : 1));
  }
  [[nodiscard]] std::size_t stages() const { return parameters_.size(); }

  /// The step, if the pipeline of the micro-batches takes `makespan` for stage `busiest`.
  [[nodiscard]] TimePlan plan(std::size_t busiest, double makespan) const {
    TimePlan t;
    const auto count = static_cast<double>(deck_.gradient_accumulation_steps);
    for (std::size_t p = busiest; p < parts_.size(); p += stages()) {
      t.compute += count * (parts_[p].unit.forward.compute + parts_[p].unit.backward.compute);
      t.tensor += count * (parts_[p].unit.forward.tensor + parts_[p].unit.backward.tensor);
      t.data += count * parts_[p].data();
    }
    t.pipeline = std::max(0.0, makespan - t.compute - t.tensor - t.data);
    t.data += once_a_step(parameters_[busiest]);
    t.optimizer = update(parameters_[busiest]);
    return t;
  }
  /// Seconds of all micro-batches on a stage.
  [[nodiscard]] double busy(std::size_t stage) const {
    double sum = 0;
    for (std::size_t p = stage; p < parts_.size(); p += stages()) {
      sum += parts_[p].cost().forward + parts_[p].cost().backward;
    }
    return sum * static_cast<double>(deck_.gradient_accumulation_steps);
  }
  [[nodiscard]] std::size_t busiest() const {
    std::size_t most = 0;
    for (std::size_t s = 1; s < stages(); ++s) {
      if (busy(s) > busy(most)) most = s;
    }
    return most;
  }

 private:
  /// Elements that a rank has of units: all, or those that train.
  [[nodiscard]] double elements(const std::vector<UnitInfo>& units, int from, int to,
                                bool trained) const {
    double n = 0;
    for (auto u = static_cast<std::size_t>(from); u < static_cast<std::size_t>(to); ++u) {
      n += static_cast<double>(units[u].parameters) * (trained ? trained_[u] : 1);
    }
    return n / mesh_.tp;
  }

  [[nodiscard]] const UnitTime& time_of(UnitKind kind, int unit) {
    const UnitTraining training{.share = trained_[static_cast<std::size_t>(unit)],
                                .has_backward = unit >= lowest_,
                                .passes_gradient = unit > lowest_};
    const auto [at, fresh] = known_.try_emplace({kind, training});
    if (fresh) at->second = unit_time(deck_, mesh_, machine_, kind, training);
    return at->second;
  }

  PartTime part_time(const std::vector<UnitInfo>& units, int from, int to) {
    PartTime p;
    for (int u = from; u < to; ++u) {
      const UnitTime& t = time_of(units[static_cast<std::size_t>(u)].kind, u);
      p.unit.forward = p.unit.forward + t.forward;
      p.unit.backward = p.unit.backward + t.backward;
    }
    if (deck_.zero.stage == 3) {
      const double n = elements(units, from, to, false);
      const double all = n * bytes(deck_.types.compute);
      const double bytes_and_scales = n * (1 + 4.0 / 256);
      const double far =
          links_.gather_over_dp(deck_.zero.quantized_weights ? bytes_and_scales : all);
      const auto near = static_cast<double>(deck_.zero.hpz_partition_size);
      const double again = near > 1 && near < mesh_.dp ? links_.gather_from(all, near) : far;
      // A step's first micro-batch alone gathers from far.
      const auto steps = static_cast<double>(deck_.gradient_accumulation_steps);
      p.gathers = exposed((far + (steps - 1) * again) / steps, p.unit.forward.sum());
      p.again = near > 1 && near < mesh_.dp ? exposed(again, p.unit.backward.sum()) : p.gathers;
    }
    if (!reduces_once()) {
      const double n = elements(units, from, to, true);
      p.reduction = exposed(links_.gather_over_dp(n * bytes(deck_.types.communication)),
                            p.unit.backward.sum());
    }
    return p;
  }

  [[nodiscard]] bool reduces_once() const {
    return deck_.zero.reduce_once_per_step && deck_.zero.stage <= 1;
  }
  static double bytes(DType t) { return static_cast<double>(size_of(t)); }

  /// What remains of a collective beside `work` seconds of computation.
  [[nodiscard]] double exposed(double seconds, double work) const {
    if (!deck_.zero.overlap_comm) return seconds;
    return seconds - std::min(seconds, work) * machine_.overlap;
  }

  /// Collectives over dp that come once: sums or values are gathered after the update.
  [[nodiscard]] double once_a_step(double n) const {
    double seconds = 0;
    if (reduces_once()) seconds += links_.gather_over_dp(n * bytes(deck_.types.communication));
    if (deck_.zero.stage == 0) {
      seconds += links_.gather_over_dp(n * bytes(deck_.types.gradient));
    }
    if (deck_.zero.stage == 1 || deck_.zero.stage == 2) {
      seconds += links_.gather_over_dp(n * bytes(deck_.types.compute));
    }
    return seconds;
  }

  /// AdamW reads gradient, value and two moments, and writes all but the gradient. Others have
  /// more or fewer arrays.
  [[nodiscard]] double update(double n) const {
    const double own = deck_.zero.stage == 0 ? n : n / mesh_.dp;
    double element = bytes(deck_.types.gradient) + 2 * bytes(deck_.types.master);
    element += 2 * static_cast<double>(state_arrays(deck_.optimizer).size()) *
               bytes_of_state(deck_.optimizer, deck_.types.moments);
    if (deck_.types.compute != deck_.types.master) element += bytes(deck_.types.compute);
    return own * element / machine_.memory_bandwidth + machine_.kernel_seconds;
  }

  const Deck& deck_;
  MeshShape mesh_;
  const Machine& machine_;
  MeshLinks links_;
  std::vector<double> trained_;  ///< shares of units' parameters
  int lowest_;                   ///< the first unit that trains
  std::map<std::pair<UnitKind, UnitTraining>, UnitTime> known_;
  std::vector<PartTime> parts_;
  std::vector<double> parameters_;  ///< elements that a rank holds and trains, by stage
};

std::vector<std::vector<PlanStep>> plans_of(const Deck& deck, const MeshShape& mesh) {
  std::vector<std::vector<PlanStep>> plans;
  for (int stage = 0; stage < mesh.pp; ++stage) {
    plans.push_back(plan(deck.pipeline_schedule, stage, mesh.pp,
                         static_cast<int>(deck.gradient_accumulation_steps),
                         deck.virtual_pipeline_chunks));
  }
  return plans;
}

}  // namespace

std::string TimePlan::bound_by() const {
  if (compute > 0.7 * step()) return "compute";
  const std::array<std::pair<double, const char*>, 4> parts = {
      {{tensor, "tp"}, {data, "dp"}, {pipeline, "pp"}, {optimizer, "update"}}};
  return std::ranges::max_element(parts)->second;
}

TimePlan plan_time(const Deck& deck, const MeshShape& mesh, const Machine& machine) {
  const StepTimes times(deck, mesh, machine);
  const auto plans = plans_of(deck, mesh);
  const Simulation s =
      simulate(plans, deck.virtual_pipeline_chunks, times.costs(), times.message());
  TRM_CHECK(s.finished, "{}", s.deadlock);
  return times.plan(times.busiest(), s.makespan);
}

TimePlan estimate_time(const Deck& deck, const MeshShape& mesh, const Machine& machine) {
  const StepTimes times(deck, mesh, machine);
  const std::size_t busiest = times.busiest();
  const double busy = times.busy(busiest);
  const double micro_batch = busy / static_cast<double>(deck.gradient_accumulation_steps);
  const double wait =
      (mesh.pp - 1) * (micro_batch / deck.virtual_pipeline_chunks + 2 * times.message());
  return times.plan(busiest, busy + wait);
}

std::vector<ScheduledStep> plan_timeline(const Deck& deck, const MeshShape& mesh,
                                         const Machine& machine) {
  const StepTimes times(deck, mesh, machine);
  const auto plans = plans_of(deck, mesh);
  const auto costs = times.costs();
  const Simulation s = simulate(plans, deck.virtual_pipeline_chunks, costs, times.message());
  TRM_CHECK(s.finished, "{}", s.deadlock);
  std::vector<ScheduledStep> steps;
  for (int stage = 0; stage < mesh.pp; ++stage) {
    const auto at = static_cast<std::size_t>(stage);
    for (std::size_t i = 0; i < plans[at].size(); ++i) {
      steps.push_back({stage, plans[at][i], s.spans[at][i].begin, s.spans[at][i].end});
    }
  }
  return steps;
}

}  // namespace trireme
