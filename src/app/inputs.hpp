// SPDX-License-Identifier: Apache-2.0
// What a training run needs before it starts: data, a checkpoint to go on from, a folder to
// write.
#pragma once

#include <optional>
#include <string>

#include "trireme/data/samples.hpp"
#include "trireme/deck/deck.hpp"

#include "resume.hpp"

namespace trireme {

/// One part of the deck's data; nothing where the deck gives that part none.
[[nodiscard]] std::optional<Samples> open_samples(const Deck& deck, Part part,
                                                  DocumentCheck check);

/// Rank 0's look at everything that a run needs, before any rank starts on it; fills in the
/// data's vocabulary and, if the deck asks for it, the checkpoint's schedule. Last what writes:
/// a refused deck leaves nothing behind. Throws Error.
void check_inputs(Deck& deck, LoadSource& source);

}  // namespace trireme
