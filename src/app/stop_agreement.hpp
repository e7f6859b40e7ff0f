// SPDX-License-Identifier: Apache-2.0
// How all ranks come to know that one of them was asked to stop.
#pragma once

#include <cstdint>

#include "trireme/comm/communicator.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/deck/deck.hpp"

#include "saves.hpp"
#include "stop.hpp"

namespace trireme {

/// One for each rank of a run.
class StopAgreement {
 public:
  /// The batch job's time counts from `process_started` where only its length is known.
  StopAgreement(const Deck& deck, Communicator& world, double process_started);

  /// Whether the run has something to save or to finish when it is asked to stop. If not,
  /// agree() does nothing.
  [[nodiscard]] bool stoppable() const { return !deck_.run_folder().empty(); }
  /// The time until the next agree() does not count as the time between two steps.
  void begin() { agreed_ = now(); }
  /// All ranks agree whether any rank is asked to stop, and whether all are done with a phase
  /// of a save. `saves` may be null. Collective.
  void agree(std::int64_t iteration, Saves* saves);
  /// Why all ranks stop, as of the last agree().
  [[nodiscard]] StopReason reason() const { return reason_; }
  [[nodiscard]] bool stops() const { return reason_ != StopReason::none; }
  /// Whether this rank knows a request.
  [[nodiscard]] bool asked(const Saves* saves);
  /// Logs once, on rank 0, if a stop would give up steps of this length to save in time.
  void report_long_steps(double step_seconds, const Saves* saves);
  /// Removes the file `stop`, if the run stops.
  void obeyed() const {
    if (stops()) requests_.obeyed();
  }
  /// For a stopped run: says how to go on, and returns the program's exit code.
  [[nodiscard]] int end(std::int64_t iteration) const;

 private:
  [[nodiscard]] StopReason poll(const Saves* saves);

  const Deck& deck_;
  Communicator& world_;
  StopRequests requests_;
  double agreed_ = 0;  ///< time of the last agree()
  double longest_apart_ = 0;
  StopReason reason_ = StopReason::none;
  bool reported_ = false;  ///< whether report_long_steps() has said something
};

}  // namespace trireme
