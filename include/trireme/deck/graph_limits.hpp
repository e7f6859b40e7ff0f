// SPDX-License-Identifier: Apache-2.0
// Checks what `cuda_graphs` requires of the other keys. Does not communicate.
#pragma once

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Throws Error that names each key which prevents capturing a micro-batch as a graph. Such
/// keys make micro-batches differ, make ranks communicate, or need the host each time. All
/// ranks throw equal errors.
void check_graphs(const Deck& deck, const MeshShape& mesh);

}  // namespace trireme
