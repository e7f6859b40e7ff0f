// SPDX-License-Identifier: Apache-2.0
// Where and how a run was started, for environment.txt and the start screen.
#pragma once

#include <string>
#include <vector>

#include "trireme/host/rank_facts.hpp"

namespace trireme {

/// The current time: "2026-11-21 22:30:12 +0000".
[[nodiscard]] std::string date_text();

/// The batch job, "Slurm job 4711"; "" outside of Slurm, PBS, LSF and Flux.
[[nodiscard]] std::string batch_job();

/// The line that separates a log's starts: date, batch job and host.
[[nodiscard]] std::string start_mark();

/// Program, libraries, command line, batch job, modules, environment variables, and hosts with
/// their ranks and machines. Only variables of batch systems, OpenMP, MPI, UCX, NCCL, CUDA,
/// OpenBLAS and Trireme are listed. Variables whose names hint at a secret (TOKEN, KEY, …) are
/// left out.
[[nodiscard]] std::string environment_text(const std::vector<RankFacts>& ranks);

}  // namespace trireme
