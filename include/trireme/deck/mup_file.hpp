// SPDX-License-Identifier: Apache-2.0
// Writes the file that key base_shapes_file names.
#pragma once

#include "trireme/deck/deck.hpp"

namespace trireme {

/// Writes the widths of a resolved deck with save_base_shapes to its base_shapes_file, for
/// decks of wider models. Throws Error if the file holds other widths, unless the deck says
/// overwrite.
void write_base_shapes(const Deck& deck);

}  // namespace trireme
