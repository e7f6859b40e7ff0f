// SPDX-License-Identifier: Apache-2.0
// What `cuda_graphs` asks of the rest of a deck. Pure.
#pragma once

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Throws Error, the same on all ranks, that names each key in the way of a micro-batch that is
/// a graph: one that takes other numbers, exchanges something or needs the host each time.
void check_graphs(const Deck& deck, const MeshShape& mesh);

}  // namespace trireme
