// SPDX-License-Identifier: Apache-2.0
// muP's coordinate check: how the sizes of activations depend on the width of a model.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme {

/// The mean size |x| of one unit's output, over all ranks and micro-batches of a step.
struct CoordinateRow {
  bool mup = false;        ///< else the standard parametrization
  std::int64_t width = 0;  ///< hidden_size
  int updates = 0;         ///< before the step
  std::string unit;        ///< "embed_in", "layers.0", "final_layer_norm" or "logits"
  double size = 0;
};

/// Widths as multiples of the base model's.
inline constexpr std::int64_t kCoordinateWidths[] = {1, 2, 4, 8};
/// Updates before the last step that is measured.
inline constexpr int kCoordinateUpdates = 4;

/// The deck of one model: the base model `times` as wide. Heads become more if the deck's model
/// has another number of them than the base, or else wider. The learning rate is constant.
[[nodiscard]] Deck coordinate_deck(const Deck& deck, std::int64_t times, bool mup);

struct CoordinateSetup {
  const Exec& ex;
  const Deck& deck;  ///< resolved, with muP and a known vocabulary
  const Mesh& mesh;
  std::span<const std::int64_t> widths = kCoordinateWidths;
  /// Receives lines of progress, on rank 0.
  std::function<void(const std::string&)> progress = {};
};

/// Trains each model, with muP and without, on one batch of synthetic tokens. A unit whose
/// input no rank sees beside its output has no rows: the logits, if a stage begins with the
/// head. Collective over the mesh. Equal on all ranks.
[[nodiscard]] std::vector<CoordinateRow> measure_coordinates(const CoordinateSetup& setup);

/// The exponent e of size ∝ width^e, fitted by least squares to the logarithms. 0 if fewer than
/// two widths have the row.
[[nodiscard]] double growth_exponent(std::span<const CoordinateRow> rows, bool mup, int updates,
                                     const std::string& unit);

}  // namespace trireme
