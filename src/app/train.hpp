// SPDX-License-Identifier: Apache-2.0
// `trireme train`.
#pragma once

#include "trireme/comm/mpi.hpp"
#include "trireme/deck/load.hpp"

#include "start_clock.hpp"

namespace trireme {

/// `trireme train`; what it says is in README. The program's exit code. `clock` has counted
/// since the program began.
[[nodiscard]] int train(const DeckSource& source, const MpiSession& mpi, StartClock& clock);

}  // namespace trireme
