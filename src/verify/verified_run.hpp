// SPDX-License-Identifier: Apache-2.0
// A trainer whose units' outputs are recorded, step by step.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "trireme/core/clock.hpp"
#include "trireme/verify/verify.hpp"

#include "compare.hpp"

namespace trireme {

/// A name and the shape of a global array.
struct NamedShape {
  std::string name;
  Shape shape;
  bool trains = true;  ///< false: a frozen parameter, which has no gradient and no master
};

/// What a model part holds, in the order of a forward pass.
struct ModelNames {
  std::vector<NamedShape> outputs;     ///< all units but the head
  std::vector<NamedShape> parameters;  ///< each once; a tied copy has its table's name
};

/// The names of a whole model. `output` is the shape of each unit's recorded output.
[[nodiscard]] ModelNames names_of(const VerifySetup::Parts& parts, const Shape& output);

/// Boxes by name of array.
using LocalBoxes = std::map<std::string, std::vector<LocalBox>>;

/// Copies the outputs of a step's first micro-batches to host memory.
class OutputRecorder final : public UnitObserver {
 public:
  /// Keeps micro-batches [0, count), whose rows lie one after another. Row 0 of micro-batch 0
  /// is `first_row` of the recorded array.
  OutputRecorder(const Exec& ex, int count, std::int64_t rows, std::int64_t first_row)
      : ex_(ex), count_(count), rows_(rows), first_row_(first_row) {}

  void observe(const UnitUse& use, Module& unit, const Tensor& output) override;
  [[nodiscard]] LocalBoxes take() { return std::exchange(outputs_, {}); }

 private:
  const Exec& ex_;
  int count_;
  std::int64_t rows_;       ///< a micro-batch's
  std::int64_t first_row_;  ///< where micro-batch 0 begins
  LocalBoxes outputs_;
};

/// Trains a deck on a mesh, one step at a call. All calls are collective over the mesh.
class VerifiedRun {
 public:
  /// `deck` and `mesh` are this run's, and outlive it. Records `count` micro-batches a step.
  VerifiedRun(const VerifySetup& setup, const Deck& deck, const Mesh& mesh,
              VerifySetup::Parts parts, int count);

  /// Trains the next step, and waits for its values.
  Trainer::StepResult step();
  /// What this rank holds of the last step. Gradients, values and masters stay on the device
  /// until the next step. Outputs can be taken once.
  [[nodiscard]] LocalBoxes take(VerifyKind kind);

 private:
  const VerifySetup& setup_;
  const Deck& deck_;
  PhaseClock clock_;
  OutputRecorder recorder_;
  Trainer trainer_;
  VerifySetup::Position position_;
};

}  // namespace trireme
