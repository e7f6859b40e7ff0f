// SPDX-License-Identifier: Apache-2.0
// The learning rate of a run in one line.
#pragma once

#include <string>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// "0.001 after 20 iterations of warmup, cosine to 1e-05 by iteration 1000", for a resolved
/// deck.
[[nodiscard]] std::string rate_text(const Deck& deck);

}  // namespace trireme
