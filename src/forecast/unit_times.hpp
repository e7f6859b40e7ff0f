// SPDX-License-Identifier: Apache-2.0
// Seconds of one micro-batch in each kind of unit, on one rank.
#pragma once

#include <compare>

#include "trireme/deck/deck.hpp"
#include "trireme/deck/machine.hpp"
#include "trireme/model/transformer.hpp"

namespace trireme {

struct PassTime {
  double compute = 0;
  double tensor = 0;  ///< collectives over tp
  [[nodiscard]] double sum() const { return compute + tensor; }
  friend PassTime operator+(const PassTime& a, const PassTime& b) {
    return {a.compute + b.compute, a.tensor + b.tensor};
  }
};

struct UnitTime {
  PassTime forward;
  PassTime backward;
};

/// The links that each axis of a mesh uses, and the times of its collectives.
class MeshLinks {
 public:
  MeshLinks(const MeshShape& mesh, const Machine& machine) : mesh_(mesh), machine_(machine) {}

  /// Seconds of an all-reduce of `bytes` over tp.
  [[nodiscard]] double all_reduce_over_tp(double bytes) const;
  /// Seconds of a reduce-scatter or gather of an array of `bytes` over dp.
  [[nodiscard]] double gather_over_dp(double bytes) const {
    return gather_from(bytes, mesh_.dp);
  }
  /// ... over `ranks` neighbours along dp.
  [[nodiscard]] double gather_from(double bytes, double ranks) const;
  /// Seconds of a message to the next stage.
  [[nodiscard]] double message_over_pp(double bytes) const;

 private:
  /// Whether `span` consecutive ranks are on one node.
  [[nodiscard]] bool on_a_node(std::int64_t span) const {
    return span <= machine_.ranks_per_node;
  }

  MeshShape mesh_;
  const Machine& machine_;
};

/// What backward does in a unit.
struct UnitTraining {
  double share = 1;             ///< parameters that train, among all
  bool has_backward = true;     ///< false below the first unit that trains
  bool passes_gradient = true;  ///< units below need the gradient of the input
  friend auto operator<=>(const UnitTraining&, const UnitTraining&) = default;
};

/// Times of the units of a resolved deck. Stage 3 of ZeRO is not in these times.
[[nodiscard]] UnitTime unit_time(const Deck& deck, const MeshShape& mesh,
                                 const Machine& machine, UnitKind kind,
                                 const UnitTraining& training);

}  // namespace trireme
