// SPDX-License-Identifier: Apache-2.0
// Messages for people, by spdlog.
#pragma once

#include <spdlog/spdlog.h>

namespace trireme::log {

using spdlog::info;  ///< rank 0 only, to stdout
using spdlog::warn;  ///< any rank, to stderr, with the rank where it isn't 0

/// Call once, after MPI starts.
void start(int rank);

}  // namespace trireme::log
