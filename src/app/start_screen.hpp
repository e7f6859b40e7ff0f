// SPDX-License-Identifier: Apache-2.0
// One screen that a run prints before its first step.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "trireme/deck/deck.hpp"
#include "trireme/forecast/memory_plan.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/rank_facts.hpp"
#include "trireme/optim/state_file.hpp"

#include "start_clock.hpp"

namespace trireme {

/// Data of the start screen, on rank 0.
struct StartScreen {
  const Deck& deck;
  const Engine& engine;
  const std::vector<RankFacts>& ranks;
  const RunPlan& plan;
  double gemm_rate;  ///< operations a second, over all ranks
  double busy;       ///< the share of its time that a thread had its processor, 0 to 1
  std::string data;
  const StateFile* state_file;  ///< null: the optimizer's state is in memory
};

/// Prints version, mesh and hosts, model, memory, data, schedule.
void print_start(const StartScreen& screen);

/// "start    3.21 s: deck 0.40, model 2.10": the seconds of the longest phases, as many as fit
/// into 110 columns, in the order given.
[[nodiscard]] std::string start_line(double seconds,
                                     std::vector<std::pair<std::string, double>> phases);

/// Prints where the run's files go, and how long each phase took so far.
void print_start_end(const Deck& deck, const StartClock& clock);

/// Forecasts memory before any is taken, and compares the forecast with the memory there is. A
/// run that takes far more would end other programs of its nodes too. Throws Error in this case
/// on all ranks, unless `force`. Collective.
[[nodiscard]] RunPlan plan_checked(const Deck& deck, const Engine& engine, const Mesh& mesh,
                                   const std::vector<RankFacts>& ranks, bool force);

}  // namespace trireme
