// SPDX-License-Identifier: Apache-2.0
// What rank 0 knows of all ranks when a run starts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trireme/comm/mpi.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/machine.hpp"

namespace trireme {

struct RankFacts {
  std::string host;
  std::string device;         ///< "cpu", "cuda:0 NVIDIA H100 80GB HBM3"
  std::string gpu;            ///< what tells it from others; "" on a CPU
  std::int64_t capacity = 0;  ///< bytes that it has for this job; 0 on a CPU
  int threads = 1;
  NodeFacts node;
};

/// Of every rank, by rank; empty but on rank 0. To be called before memory is taken.
/// Collective.
[[nodiscard]] std::vector<RankFacts> gather_facts(const Engine& engine, const MpiSession& mpi);

}  // namespace trireme
