// SPDX-License-Identifier: Apache-2.0
// Loads one deck for all ranks: rank 0 reads the files, and every rank receives the result.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme {

/// The files and overrides that a command line names.
struct DeckSource {
  std::vector<std::string> files;
  std::vector<std::string> overrides;  ///< "key=value"
};

/// Reads and resolves the deck on rank 0, and broadcasts the result. `check` runs on rank 0,
/// where it checks the deck and fills in what the data determine. Every rank throws Error if
/// rank 0 does. Collective.
[[nodiscard]] Deck load_deck(const DeckSource& source, Communicator& world,
                             const std::function<void(Deck&)>& check);

/// Logs the mesh in one line.
void print_mesh(const Deck& deck, const MeshShape& mesh);
/// Logs two lines: the model's sizes, and the batch.
void print_model(const Deck& deck, const MeshShape& mesh);

}  // namespace trireme
