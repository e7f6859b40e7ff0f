// SPDX-License-Identifier: Apache-2.0
// Checks the keys of fine-tuning against the names of the model's parameters.
#pragma once

#include "trireme/deck/deck.hpp"

namespace trireme::deck {

/// Throws Error if a pattern is no regular expression or matches no name. Further errors are
/// that no parameter would train, and that the adapters' dropout doesn't fit the mesh.
void check_tuning(const Deck& deck);

}  // namespace trireme::deck
