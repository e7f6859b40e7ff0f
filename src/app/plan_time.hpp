// SPDX-License-Identifier: Apache-2.0
// What `trireme plan` says about time: a step's parts, the search for a layout, a timeline.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "trireme/deck/deck.hpp"
#include "trireme/deck/machine.hpp"

namespace trireme {

struct PlanTimeOptions {
  std::string machine;        ///< machine file; empty: no time is predicted
  std::string device_memory;  ///< "80GiB"; empty: the machine file's
  bool search = false;        ///< look for the fastest layouts that fit
  bool explain = false;       ///< say why the deck is slower than the best layout
  std::string write;          ///< file for the best layout's keys; empty: none
  std::string timeline;       ///< file for the schedule as SVG; empty: none
};

/// Throws Error if an option needs another one.
void check(const PlanTimeOptions& options);
/// Throws Error if the options need something that the machine's file lacks.
void check(const PlanTimeOptions& options, const Machine& machine);

/// Prints what the options ask for. `deck` is resolved for `mesh`, with a known vocabulary.
/// Returns the figures for --json.
[[nodiscard]] nlohmann::ordered_json plan_times(const Deck& deck, const MeshShape& mesh,
                                                const Machine& machine,
                                                const PlanTimeOptions& options);

}  // namespace trireme
