// SPDX-License-Identifier: Apache-2.0
// The watch over waits of a training run.
#pragma once

#include <memory>

#include "trireme/comm/communicator.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/host/hang_watch.hpp"

namespace trireme {

/// Ends the run, on all ranks and with exit code 76, if a rank waits for longer than the deck's
/// comm_timeout. Null for a single rank and without a limit. Collective.
[[nodiscard]] std::unique_ptr<HangWatch> watch_for_hangs(const Deck& deck, Communicator& world);

}  // namespace trireme
