// SPDX-License-Identifier: Apache-2.0
// Whether a checkpoint's optimizer state fits the deck's optimizer.
#pragma once

#include "trireme/deck/deck.hpp"

namespace trireme {

class CheckpointReader;

/// Throws Error if the checkpoint has the state of another optimizer, or lacks state that the
/// deck's optimizer needs. `made_with` is the checkpoint's deck.
void check_optimizer(const CheckpointReader& reader, const Deck& made_with, const Deck& deck);

}  // namespace trireme
