// SPDX-License-Identifier: Apache-2.0
// Rank 0's token sequences on all ranks.
#pragma once

#include <span>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/inference/inference.hpp"

namespace trireme {

/// Returns rank 0's sequences; those of other ranks are ignored. Collective.
[[nodiscard]] std::vector<TokenIds> share_sequences(std::span<const TokenIds> sequences,
                                                    Communicator& world);

/// Throws Error for an id outside the vocabulary. `what` names the sequence: "prompt 3".
void require_ids(std::span<const std::int32_t> ids, std::int64_t vocab_size,
                 const std::string& what);

}  // namespace trireme
