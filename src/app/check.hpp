// SPDX-License-Identifier: Apache-2.0
// `trireme train --check`: what a run would be, without the run.
#pragma once

#include <string>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/deck/load.hpp"

namespace trireme {

/// A table of the model's tensors. Each part has its number of parameters and its share, then
/// the name, global shape and size of each tensor. Layers are alike and shown once.
[[nodiscard]] std::vector<std::string> tensor_table(const ModelConfig& config);

/// Checks deck and data on rank 0, and prints the resolved deck and the model's tensors. Writes
/// no file. Returns the exit code. Throws Error as the start of the run would. Collective.
[[nodiscard]] int check_deck(const DeckSource& source, Communicator& world);

}  // namespace trireme
