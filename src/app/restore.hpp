// SPDX-License-Identifier: Apache-2.0
// Restores the state of a resumed run from a checkpoint.
#pragma once

#include <cstdint>
#include <string>

#include "trireme/deck/deck.hpp"
#include "trireme/train/trainer.hpp"

#include "deck_tokenizer.hpp"
#include "resume.hpp"

namespace trireme {

struct RunPosition {
  std::int64_t iteration = 0;
  std::int64_t samples = 0;      ///< samples consumed
  std::string checkpoint = {};   ///< source of the state; empty: the run begins
  std::string changes = {};      ///< rank 0: see changes_since()
  KeptTokenizer tokenizer = {};  ///< the checkpoint's
  RunBeginning began = {};       ///< rank 0: this start's, or that of the run that goes on
};

/// Loads the best checkpoint that can be read to its end and whose values are finite. Logs its
/// name, and what is set in another way than when the checkpoint was made. If there is no
/// checkpoint yet, the run starts at iteration 0. Only rank 0's `source` is used. Throws Error
/// where checkpoints exist but none can be read. Collective.
[[nodiscard]] RunPosition restore(const Deck& deck, LoadSource& source, Communicator& world,
                                  Trainer& trainer);

}  // namespace trireme
