// SPDX-License-Identifier: Apache-2.0
// What a resumed run does in another way than the run did before, by the two resolved decks.
#pragma once

#include <map>
#include <string>

#include "trireme/checkpoint/state.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme {

/// Values of keys, as a deck writes them.
using Settings = std::map<std::string, std::string>;
[[nodiscard]] Settings settings_of(const Deck& deck);

/// Whether two values of a key mean one thing: "97, 3, 0" and "0.97, 0.03, 0", or two paths of
/// one file.
[[nodiscard]] bool same_value(const std::string& key, const std::string& a,
                              const std::string& b);

/// "weight_decay 0.1 → 0, precision fp32 → bfloat16, 4 → 2 ranks"; empty if nothing differs.
/// Leaves out keys that only say how to load. `then` is the checkpoint's deck, and both decks
/// are resolved.
[[nodiscard]] std::string changes_since(const RunState& state, const Deck& then,
                                        const Deck& now);

/// Ranks of a resolved deck's mesh.
[[nodiscard]] std::int64_t ranks_of(const Deck& deck);

/// Keeps the run's train_batch_size if the deck only derives its own from the micro-batch:
/// gradient_accumulation_steps follows. Throws Error, with both ways on, where this is
/// impossible. Returns whether it changed the deck.
bool keep_batch_size(const std::string& checkpoint, const Deck& then, Deck& deck);

/// Throws Error if the counts of the run would overflow before its last iteration.
void require_countable(const std::string& checkpoint, const RunState& state, const Deck& deck);

}  // namespace trireme
