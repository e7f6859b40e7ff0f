// SPDX-License-Identifier: Apache-2.0
// How the ranks of `trireme prepare` share units of text, and bring pieces to rank 0.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/data/text_pool.hpp"

namespace trireme {

/// The inputs that rank 0 found, on all ranks. Collective.
[[nodiscard]] std::vector<TextInput> share_inputs(const std::vector<TextInput>& found,
                                                  Communicator& world);

/// The rank of each unit. Each unit in turn goes to the rank with the fewest bytes. Standard
/// input goes to rank 0.
[[nodiscard]] std::vector<int> assign_units(const TextBlocks& blocks, int ranks);

using TakePieces = std::function<void(std::int64_t unit, const TextPieces& pieces)>;

/// Gives all pieces to `take` on rank 0, in the order of units. The first error in this order,
/// or of `take`, ends the work and is thrown on all ranks. Collective.
void gather_pieces(const TextBlocks& blocks, const PoolOptions& options, const TakePieces& take,
                   Communicator& world);

}  // namespace trireme
