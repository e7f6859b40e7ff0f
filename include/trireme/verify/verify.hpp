// SPDX-License-Identifier: Apache-2.0
// Holds a parallel layout against one rank: the same weights and batches, with everything that
// a step computes. A fault in the layout shows as a tensor that differs by more than rounding.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/data/samples.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/model/transformer.hpp"
#include "trireme/tensor/box.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

/// What is compared, in the order in which a step computes it.
enum class VerifyKind : std::uint8_t {
  output,    ///< a unit's forward, in the first micro-batch of each rank of dp
  loss,      ///< the step's mean over tokens
  gradient,  ///< a parameter's, after all sums
  master,    ///< a parameter's, after the step
  value      ///< a parameter's, after the step
};
inline constexpr int kVerifyKinds = 5;
[[nodiscard]] const char* name_of(VerifyKind kind);

/// The largest relative differences that pass. The difference of two tensors is max |a − b|
/// over the largest |b| of the reference's tensor. This divisor is at least 1e-6 of the largest
/// of all tensors of the kind. A gradient that is zero but for rounding then passes.
///
/// An update may move a parameter by rounding alone where the gradient is small: Adam divides
/// gradients by their size. Values and masters therefore differ by |a − b| less what a gradient
/// that differs by its own bound may cause (update_slack() in src/verify/compare.hpp). Such
/// moves show in later outputs and gradients: their bounds grow with the learning rates so far.
struct VerifyBounds {
  double output = 0;
  double loss = 0;
  double gradient = 0;
  double master = 0;
  double value = 0;

  [[nodiscard]] double of(VerifyKind kind) const;
  /// The bound after Adam's updates whose learning rates have this sum.
  [[nodiscard]] double of(VerifyKind kind, double rates) const;
};
/// The bounds of a precision. The coarsest type on the way decides: activations for outputs and
/// losses, and besides them sums and messages for gradients. The table in src/verify/bounds.cpp
/// states the differences that were measured, and the margin over them.
[[nodiscard]] VerifyBounds verify_bounds(const PrecisionConfig& types);

/// The largest difference of one tensor in one step.
struct VerifyRow {
  VerifyKind kind = VerifyKind::output;
  std::string tensor;      ///< a unit's name, a parameter's, or "loss"
  int step = 0;            ///< 1 is the first verified step
  std::size_t number = 0;  ///< position among its kind, in the order of a forward pass
  double difference = 0;   ///< relative; infinite if one side alone is no number
  double bound = 0;
  int rank = 0;  ///< where the difference was found
  Box box;       ///< what the rank holds; outputs' rows count through all ranks of dp
  Shape at;      ///< element of the global tensor
  double got = 0;
  double expected = 0;

  [[nodiscard]] bool differs() const { return !(difference <= bound); }
};

/// The result, equal on all ranks.
struct VerifyReport {
  bool agrees = false;
  VerifyBounds bounds;             ///< the first step's
  std::vector<VerifyRow> rows;     ///< worst first, by difference over bound
  std::vector<std::string> notes;  ///< what could not be compared, and why

  /// The first row of a kind that differs: in the earliest step, then in the order of
  /// computation. A backward pass computes gradients from the last unit to the first. Null if
  /// none differs.
  [[nodiscard]] const VerifyRow* first(VerifyKind kind) const;
};

/// Both runs of a verification.
struct VerifySetup {
  const Exec& ex;
  const Deck& deck;                    ///< resolved for the layout
  const Mesh& mesh;                    ///< the layout's
  const Mesh* alone = nullptr;         ///< on rank 0: a mesh of this rank; unused elsewhere
  const SampleSource* data = nullptr;  ///< null on ranks that read no tokens
  int steps = 2;  ///< the second step shows whether the first one's values reached all ranks

  using Parts = std::vector<std::unique_ptr<ModelPart>>;
  /// Builds the layout's model parts; build_parts() if empty.
  std::function<Parts()> parts = {};
  struct Position {
    std::int64_t iteration = 0;
    std::int64_t samples = 0;
  };
  /// Fills a trainer's state, on both runs, and returns where the run goes on. Collective over
  /// the mesh given. Empty: initial weights.
  std::function<Position(Trainer& trainer, const Mesh& mesh)> start = {};
  /// Receives lines of progress, on rank 0.
  std::function<void(const std::string&)> progress = {};
};

/// The deck of the reference: one rank, no ZeRO, no recompute. Micro-batches, global batch and
/// precision are the layout's.
[[nodiscard]] Deck reference_deck(const Deck& deck, const MeshShape& mesh);

/// Bytes of host memory that rank 0 keeps of the reference.
[[nodiscard]] std::int64_t reference_bytes(const Deck& deck, const MeshShape& mesh, int steps);

/// Trains the reference on rank 0 and keeps what it computes in host memory as fp32. Frees its
/// model, and trains the layout on all ranks. After each step, rank 0 broadcasts the
/// reference's arrays in slices of at most 64 MiB. Every rank compares each box that it holds,
/// replicas included. Throws Error on all ranks where a run fails. Collective over the mesh's
/// world.
[[nodiscard]] VerifyReport verify_layout(const VerifySetup& setup);

}  // namespace trireme
