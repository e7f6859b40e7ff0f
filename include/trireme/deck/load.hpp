// SPDX-License-Identifier: Apache-2.0
// One deck for all ranks: rank 0 reads the files, every rank gets the result.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme {

/// Where a command line says that its deck comes from.
struct DeckSource {
  std::vector<std::string> files;
  std::vector<std::string> overrides;  ///< "key=value"
};

/// Reads and resolves the deck on rank 0. `check` looks at the deck there and fills in what the
/// data tells. Every rank gets the result. Collective. Throws Error for rank 0's alone.
[[nodiscard]] Deck load_deck(const DeckSource& source, Communicator& world,
                             const std::function<void(Deck&)>& check);

/// Logs the mesh, on one line.
void print_mesh(const Deck& deck, const MeshShape& mesh);
/// Logs the model's sizes and the batch, on a line each.
void print_model(const Deck& deck, const MeshShape& mesh);

}  // namespace trireme
