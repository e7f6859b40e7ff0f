// SPDX-License-Identifier: Apache-2.0
// The state of a run that goes on, from a checkpoint into its trainer.
#pragma once

#include <cstdint>

#include "trireme/deck/deck.hpp"
#include "trireme/train/trainer.hpp"

#include "resume.hpp"

namespace trireme {

struct RunPosition {
  std::int64_t iteration = 0;
  std::int64_t samples = 0;  ///< consumed
};

/// Loads the best checkpoint that can be read to its end, and tells which; where there is none
/// yet the run begins at 0. `source` is rank 0's. Collective. Throws Error where there were
/// some and none can be read.
[[nodiscard]] RunPosition restore(const Deck& deck, LoadSource& source, Communicator& world,
                                  Trainer& trainer);

}  // namespace trireme
