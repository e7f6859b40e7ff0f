// SPDX-License-Identifier: Apache-2.0
// From the words of a deck to settings, and back.
#pragma once

#include <map>
#include <string>

#include "trireme/deck/keys.hpp"

#include "tree.hpp"

namespace trireme::deck {

/// What the decks say of one key.
struct Setting {
  std::string spelled;  ///< the path as the deck has it; an alias perhaps
  Place place;          ///< of the key
  Value value;
};

/// By the keys' own paths.
using Settings = std::map<std::string, Setting>;

/// Null where the decks don't say it, or say null.
[[nodiscard]] const Setting* given(const Settings& settings, const std::string& path);

/// Checks of single values that a range cannot state, and of keys that exclude each other.
/// Throws Error with the value's place.
void check_words(const Settings& settings, const Draft& draft);

/// The draft's words become settings. A key that the deck leaves out takes the default that
/// rests on others. Throws Error where a size comes out of range.
void fold(Draft& draft, Deck& deck);

/// Adds a warning for each setting of a feature that is switched off.
void warn_of_idle(const Settings& settings, const Draft& draft, Deck& deck);

/// What rests on other keys where the deck leaves it open: num_kv_heads,
/// max_position_embeddings, intermediate_size, lr_decay_iters.
void fill_open(DeckSettings& settings);

/// deck.types, loss_scale, recompute and zero from the draft's words. Throws Error where they
/// contradict each other; warns of what has no effect.
void fold_memory(const Settings& settings, const Draft& draft, Deck& deck);
/// The other way.
[[nodiscard]] MemoryWords memory_words(const DeckSettings& settings);

}  // namespace trireme::deck
