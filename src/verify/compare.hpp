// SPDX-License-Identifier: Apache-2.0
// Compares the boxes that ranks hold with arrays that rank 0 keeps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/ops/exec.hpp"
#include "trireme/tensor/box.hpp"

namespace trireme {

/// A global array in host memory.
struct HostArray {
  Shape shape;
  std::vector<float> values;

  [[nodiscard]] double largest() const;  ///< max |x|, numbers alone
};

/// Elements of any floating type on the device, as fp32 in host memory. Waits for the stream.
[[nodiscard]] std::vector<float> to_host(const Exec& ex, const ConstView& data);

/// A box that this rank holds of one array: in host memory as fp32, or on the device.
struct LocalBox {
  Box box;
  std::vector<float> host;
  ConstView device;
};

/// An array that all ranks know by shape. Rank 0 has the reference's elements.
struct ComparedArray {
  Shape shape;
  std::vector<LocalBox> mine;
  const HostArray* reference = nullptr;
};

/// The largest difference of an array, over all ranks.
struct Finding {
  double difference = -1;
  int rank = -1;
  Box box;
  Shape at;
  double got = 0;
  double expected = 0;
};

/// One update, and the gradients that it used.
struct PastUpdate {
  double lr = 0;
  double factor = 0;  ///< multiplies gradients in the update: clipping and 1 / loss scale
  double bound = 0;   ///< largest relative difference of gradients that passes
  std::vector<const HostArray*> gradients;  ///< one an array; rank 0 alone
};

/// How far rounding of gradients may move the parameters.
struct UpdateSlack {
  OptimizerKind optimizer = OptimizerKind::adamw;
  std::vector<PastUpdate> updates;  ///< oldest first
};

/// How far an element may move because its gradient differs by the bound times `largest`. Adam
/// moves an element by lr at most, in the gradient's direction, which is unknown where the
/// gradient is smaller than its possible difference. SGD moves by lr · factor · gradient.
/// `later` counts the updates after this one, in which momentum repeats the move.
[[nodiscard]] double update_slack(OptimizerKind optimizer, const PastUpdate& update,
                                  double gradient, double largest, int later);

/// Compares each array, and returns a finding for each. Differences are relative to the array's
/// largest element; see VerifyBounds. `slack`, if not null, is taken off each element's
/// difference; all ranks know its fields but the gradients. Throws Error if no rank holds any
/// box of an array. Collective.
[[nodiscard]] std::vector<Finding> compare_arrays(const Exec& ex, Communicator& world,
                                                  const std::vector<ComparedArray>& arrays,
                                                  const UpdateSlack* slack);

}  // namespace trireme
