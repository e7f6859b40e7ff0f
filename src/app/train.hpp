// SPDX-License-Identifier: Apache-2.0
// The command `trireme train`.
#pragma once

#include "trireme/comm/mpi.hpp"
#include "trireme/deck/load.hpp"

#include "start_clock.hpp"

namespace trireme {

struct TrainOptions {
  bool force = false;  ///< start even where the forecast of memory is far above the machine's
  bool check = false;  ///< print what the run would be, and end
};

/// Runs `trireme train` and returns the program's exit code (README.md). `clock` has counted
/// since the program began.
[[nodiscard]] int train(const DeckSource& source, const TrainOptions& options,
                        const MpiSession& mpi, StartClock& clock);

}  // namespace trireme
