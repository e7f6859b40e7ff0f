// SPDX-License-Identifier: Apache-2.0
// A resolved deck with where each value came from.
#pragma once

#include <string>
#include <vector>

#include "trireme/deck/deck.hpp"

namespace trireme {

struct ShownSetting {
  std::string path;    ///< "optimizer.params.lr"
  std::string value;   ///< YAML
  std::string source;  ///< see source_of()
};

/// Where the value of a key came from: a place in a deck, the command line, or whose default.
/// A derived value has the keys that gave it.
[[nodiscard]] std::string source_of(const Deck& deck, const std::string& path);

/// Every setting with its source, in the order in which a deck is written.
[[nodiscard]] std::vector<ShownSetting> shown_settings(const Deck& deck);

/// to_yaml() with the source of each value as a comment behind the value.
[[nodiscard]] std::string to_yaml_with_sources(const Deck& deck);

}  // namespace trireme
