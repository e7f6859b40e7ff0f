// SPDX-License-Identifier: Apache-2.0
// Reads deck files, and the decks that these include.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "trireme/deck/tree.hpp"

namespace trireme::deck {

/// A deck's name, and its parsed text.
using NamedTree = std::pair<std::string, Value>;

/// Parses the file, and before it the decks that its `include` names, relative to its folder.
/// Throws Error for files that cannot be read, and for decks that include each other.
void read_file(const std::string& path, std::vector<NamedTree>& trees);
/// Treats `text` as the content of the file `name`.
void read_text(const std::string& text, const std::string& name, std::vector<NamedTree>& trees);

}  // namespace trireme::deck
