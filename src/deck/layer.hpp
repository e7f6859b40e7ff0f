// SPDX-License-Identifier: Apache-2.0
// Merges decks key by key. Later decks win, and every key is looked up in the table of keys.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "faults.hpp"
#include "fold.hpp"

namespace trireme::deck {

/// What one deck speaks of, beside its values.
struct DeckKind {
  std::string name;
  bool deepspeed = true;  ///< every key is DeepSpeed's
  bool recipe = false;    ///< some key is of the optimizer or the learning rate
  bool empty = true;
};

/// Decks merged so far.
struct Merged {
  Settings settings;
  std::set<std::string> automatic;   ///< paths that some deck leaves to "auto"
  std::vector<DeckKind> decks;       ///< files alone, in order
  std::vector<std::string> sources;  ///< names of decks and overrides, in order
  Faults faults;

  /// The DeepSpeed file that alone speaks of optimizer and learning rate; empty if there is
  /// none. DeepSpeed's defaults then hold.
  [[nodiscard]] std::string lone_deepspeed() const;
};

/// Whether a value says no: false, no, off or none.
[[nodiscard]] bool is_false(const Value& value);

/// Lays a deck over those before it. Collects unknown keys and contradictions as faults.
void lay_deck(Merged& merged, const Value& tree, const std::string& name);
/// Lays `key=value` over the decks.
void lay_override(Merged& merged, const std::string& text);

}  // namespace trireme::deck
