// SPDX-License-Identifier: Apache-2.0
// The commands' shared start: a deck that all ranks hold alike, and what the start-up screen
// says.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "trireme/app/deck.hpp"
#include "trireme/app/run_plan.hpp"
#include "trireme/comm/mesh.hpp"
#include "trireme/comm/mpi.hpp"
#include "trireme/data/samples.hpp"

#include "build_info.hpp"
#include "engine.hpp"
#include "start_clock.hpp"

namespace trireme {

struct DeckSource {
  std::vector<std::string> files;
  std::vector<std::string> overrides;
};

/// Reads and resolves the deck on rank 0, lets `check` look at it and fill in what the data
/// tells (both on rank 0), and gives every rank the result. Errors are rank 0's alone.
[[nodiscard]] Deck load_deck(const DeckSource& source, Communicator& world,
                             const std::function<void(Deck&)>& check);

// Lines of rank 0 that several commands begin with.
void print_mesh(const Deck& deck, const MeshShape& mesh);
/// Model and batch.
void print_model(const Deck& deck, const MeshShape& mesh);
/// Threads or GPU, and the rate of products over all ranks.
void print_compute(const Engine& engine, double gemm_rate);

/// "dp 2 × tp 1 × pp 1".
[[nodiscard]] std::string mesh_text(const MeshShape& shape);

/// `trireme train`; what it says is in README. The program's exit code. `clock` has counted
/// since the program began.
[[nodiscard]] int train(const DeckSource& source, const MpiSession& mpi, StartClock& clock);

struct BenchOptions {
  int steps = 5;
  std::string json;                  ///< file to write one object to; empty: none
  std::vector<std::string> against;  ///< settings of a deck to compare with; empty: none
  bool update = false;               ///< the update alone, beside memory's rate
  bool kernels = false;              ///< each kernel, beside its floor
};
/// `trireme bench`: speed and memory of a deck on synthetic tokens.
void bench(const DeckSource& source, const BenchOptions& options, const MpiSession& mpi);

struct PlanOptions {
  int ranks = 0;
  int ranks_per_node = 0;  ///< 0: not known
  std::string json;        ///< file to write one object to; empty: none
};
/// `trireme plan`: memory, messages, schedule and checkpoint of a run, on rank 0.
void plan(const DeckSource& source, const PlanOptions& options, Communicator& world);

}  // namespace trireme
