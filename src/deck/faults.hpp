// SPDX-License-Identifier: Apache-2.0
// Collects everything that is wrong with decks, so that one message names all of it.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "trireme/deck/tree.hpp"

namespace trireme::deck {

class Faults {
 public:
  /// In the order in which the message names faults.
  enum class Kind : std::uint8_t { refused, wrong_value, unknown, contradiction, missing };

  void add(Kind kind, const Place& place, std::string_view text);
  void add(Kind kind, std::string text);
  /// Calls `f`, and keeps the Error that f throws.
  template <class F>
  void gather(Kind kind, const Place& place, F f) {
    try {
      f();
    } catch (const Error& e) {
      add_whole(kind, place, e.what());
    }
  }

  [[nodiscard]] bool empty() const { return faults_.empty(); }
  /// Throws Error if there are faults: a line for each, up to 200. `sources` names the decks in
  /// order.
  void raise(const std::vector<std::string>& sources) const;

 private:
  struct Fault {
    Kind kind;
    Place place;
    std::string line;
  };
  void add_whole(Kind kind, const Place& place, std::string line);

  std::vector<Fault> faults_;
  std::unordered_set<std::string> lines_;
};

}  // namespace trireme::deck
