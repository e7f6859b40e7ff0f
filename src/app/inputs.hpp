// SPDX-License-Identifier: Apache-2.0
// Inputs that a training run needs before it starts: data, a checkpoint to resume from, and a
// writable folder.
#pragma once

#include <optional>
#include <string>

#include "trireme/data/samples.hpp"
#include "trireme/deck/deck.hpp"

#include "deck_tokenizer.hpp"
#include "resume.hpp"
#include "run_claim.hpp"

namespace trireme {

/// Opens one part of the deck's data; empty if the deck has no data for this part.
[[nodiscard]] std::optional<Samples> open_samples(const Deck& deck, Part part,
                                                  DocumentCheck check);

/// Checks the deck's training data. Fills in their vocabulary, what the deck's tokenizer says
/// where they don't, and the split if the deck leaves
/// it out. Returns what the data hold: see data_identity(). Throws Error.
[[nodiscard]] std::string check_training_data(Deck& deck,
                                              DocumentCheck check = DocumentCheck::all);

/// What rank 0 knows of a run before other ranks start it.
struct RunStart {
  LoadSource load;
  RunClaim claim;
  std::string data;  ///< see data_identity()
  KeptTokenizer tokenizer;
};

/// Whether any of the deck's data files exists.
[[nodiscard]] bool has_data(const Deck& deck);

/// check_training_data(), and the same for the other parts.
[[nodiscard]] std::string check_data(Deck& deck, DocumentCheck check = DocumentCheck::all);

/// Checks on rank 0 everything that a run needs, before any rank starts. Fills in what
/// check_data() does and, if the deck asks for it, the checkpoint's schedule. Claims the
/// run's folders. Checks that write come last, so that a refused deck leaves no file behind.
/// Throws Error.
void check_inputs(Deck& deck, RunStart& start);

}  // namespace trireme
