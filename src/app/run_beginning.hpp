// SPDX-License-Identifier: Apache-2.0
// How a run began, and whether a start goes on with the run that `save` holds.
#pragma once

#include <string>
#include <vector>

#include "trireme/checkpoint/reader.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme {

/// How the checkpoint's run began. A checkpoint of an earlier version knows its last start
/// alone. Throws Error if this version can't read its deck.
[[nodiscard]] RunBeginning beginning_of(const CheckpointReader& reader);

/// Requires that the checkpoints in `save` come from a run that began as this deck's run does.
/// With key overwrite, returns instead whether they do.
[[nodiscard]] bool require_same_beginning(const std::vector<std::string>& kept,
                                          const Deck& deck);

}  // namespace trireme
