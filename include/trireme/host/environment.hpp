// SPDX-License-Identifier: Apache-2.0
// Where and how a run was started: for environment.txt and the start screen.
#pragma once

#include <string>
#include <vector>

#include "trireme/host/rank_facts.hpp"

namespace trireme {

/// "2026-11-21 22:30:12 +0000", now.
[[nodiscard]] std::string date_text();

/// "Slurm job 4711"; "" outside of the batch systems that are known (Slurm, PBS, LSF, Flux).
[[nodiscard]] std::string batch_job();

/// The line that divides a log's starts: date, batch job and host.
[[nodiscard]] std::string start_mark();

/// Program, libraries, command line, batch job, modules, the variables that bear on a run, and
/// hosts with their ranks and machines. Of the environment only names that begin with those of
/// batch systems, OpenMP, MPI, UCX, NCCL, CUDA, OpenBLAS and our own are taken, and of these
/// none that may hold a secret (TOKEN, KEY, …).
[[nodiscard]] std::string environment_text(const std::vector<RankFacts>& ranks);

}  // namespace trireme
