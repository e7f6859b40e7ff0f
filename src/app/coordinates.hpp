// SPDX-License-Identifier: Apache-2.0
// What `trireme train` does for muP instead of training: keys coord_check and save_base_shapes.
#pragma once

#include "trireme/comm/mpi.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme {

/// Whether a deck asks for one of both.
[[nodiscard]] inline bool prepares_mup(const Deck& deck) {
  return deck.coord_check || deck.save_base_shapes;
}
/// On rank 0, checks the deck, fills in its vocabulary, and writes the base model's widths if
/// asked.
void begin_mup(Deck& deck);
/// Measures activations over widths if asked. Prints their sizes, and writes them to
/// coord_check.csv in the run's folder, if the deck names one. Returns the exit code.
/// Collective.
[[nodiscard]] int end_mup(const Deck& deck, const MpiSession& mpi);

}  // namespace trireme
