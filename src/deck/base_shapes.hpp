// SPDX-License-Identifier: Apache-2.0
// The file that holds the widths of muP's base model.
#pragma once

#include "layer.hpp"

namespace trireme::deck {

/// Adds the `mup_base` of the deck's base_shapes_file, unless the deck lets a run write that
/// file or leaves muP out. Throws Error if the file can't be read, or where the deck has
/// another width.
void lay_base_shapes(Merged& merged);

}  // namespace trireme::deck
