// SPDX-License-Identifier: Apache-2.0
// The commands that read decks and start nothing: keys, show and validate.
#pragma once

#include <string>

#include "trireme/deck/load.hpp"

namespace trireme {

struct KeysOptions {
  std::string pattern;
  bool markdown = false;
};
/// Prints the keys that match the pattern. Throws Error if none does.
void print_keys(const KeysOptions& options);

struct ShowOptions {
  int ranks = 0;      ///< 0: what depends on the ranks stays open
  bool json = false;  ///< print JSON instead of YAML
};
/// Prints the resolved deck, with where each value came from. Warnings go to standard error.
void show_deck(const DeckSource& source, const ShowOptions& options);

/// Checks a deck as a start on `ranks` ranks would, without memory and data, and prints what it
/// is. With 0 ranks, checks the fewest ranks that the deck asks for. Throws Error.
void validate_deck(const DeckSource& source, int ranks);

}  // namespace trireme
