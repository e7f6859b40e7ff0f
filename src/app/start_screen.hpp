// SPDX-License-Identifier: Apache-2.0
// What a run says before its first step: one screen.
#pragma once

#include <string>
#include <vector>

#include "trireme/deck/deck.hpp"
#include "trireme/forecast/memory_plan.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/rank_facts.hpp"

#include "start_clock.hpp"

namespace trireme {

/// Rank 0's.
struct StartScreen {
  const Deck& deck;
  const Engine& engine;
  const std::vector<RankFacts>& ranks;
  const RunPlan& plan;
  double gemm_rate;  ///< of all ranks, operations a second
  std::string data;
};

/// Version, mesh and hosts, model, memory, data, schedule.
void print_start(const StartScreen& screen);

/// Where the run's files go, and how long each phase took so far.
void print_start_end(const Deck& deck, const StartClock& clock);

}  // namespace trireme
