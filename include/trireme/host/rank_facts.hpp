// SPDX-License-Identifier: Apache-2.0
// Facts about all ranks, which rank 0 gathers when a run starts.
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
  std::string gpu;            ///< an id that distinguishes the GPU from others; "" on a CPU
  std::int64_t capacity = 0;  ///< bytes of GPU memory for this job; 0 on a CPU
  int threads = 1;
  int cores = 1;      ///< which this job may use on the host
  int own_cores = 1;  ///< which this rank may use
  std::string slow;   ///< see slow_setting()
  NodeFacts node;
  int gpus_seen = 0;    ///< GPUs that this rank could take
  std::string visible;  ///< CUDA_VISIBLE_DEVICES; "" where it isn't set
};

/// Returns the facts of every rank, in rank order, on rank 0; other ranks get an empty vector.
/// Call before memory is taken. Collective.
[[nodiscard]] std::vector<RankFacts> gather_facts(const Engine& engine, const MpiSession& mpi);

/// Lines that say what slows threads of CPUs, and what to do. Causes are more threads than
/// cores, cores that the launcher leaves idle, settings of the system, and other jobs. `busy`
/// is the share of its time in which a thread had a processor while all ranks computed. None
/// if each thread has a core for itself.
[[nodiscard]] std::vector<std::string> crowding(const std::vector<RankFacts>& ranks,
                                                double busy, bool bound = bound_by_launcher());

/// Lines that say which GPUs the ranks took where there was a choice, or fewer GPUs than ranks,
/// and where GPUs are unlike. None if each rank has a GPU, and each GPU a rank.
[[nodiscard]] std::vector<std::string> gpu_choice(const std::vector<RankFacts>& ranks);

}  // namespace trireme
