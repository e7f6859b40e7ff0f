// SPDX-License-Identifier: Apache-2.0
// The deck that a model's facts give.
#pragma once

#include <string>

#include "config.hpp"

namespace trireme::huggingface {

/// The facts as a deck of one rank, resolved, with the settings of a short run.
[[nodiscard]] Deck deck_of(const ModelFacts& facts);

}  // namespace trireme::huggingface
