// SPDX-License-Identifier: Apache-2.0
// What 1-bit Adam and 1-bit LAMB share: compressed means of momenta over dp, by flat group.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "trireme/optim/compressed_mean.hpp"

#include "tensor_update.hpp"

namespace trireme {

/// State array 0 is the momentum and array 1 the variance. Each rank of dp holds whole arrays,
/// since such an optimizer goes with ZeRO's stage 0 alone.
class MomentumMeans {
 public:
  /// `parts` must outlive the object. One rank of dp has no means.
  explicit MomentumMeans(const TensorUpdateParts& parts);

  static const FlatSlice& whole(const UpdatedTensor& t) { return t.updated.front(); }
  [[nodiscard]] View momentum(const UpdatedTensor& t) const {
    return parts_.state(t.group, 0, whole(t));
  }
  [[nodiscard]] View variance(const UpdatedTensor& t) const {
    return parts_.state(t.group, 1, whole(t));
  }

  /// Each rank updates the momentum by its own gradient, and the compressed mean over dp
  /// replaces the momentum: m ← mean(β1·m + (1 − β1)·g). An element without variance had no
  /// gradient so far. A sign would move the element by a scale over ε, and therefore its
  /// momentum stays 0. DeepSpeed's exp_avg_mask is for such elements. Collective over dp.
  void average(const ConstView& decision) const;

  /// See TensorUpdate.
  void visit_errors(const std::function<void(const Parameter&, const View& worker,
                                             const View& server)>& f) const;
  [[nodiscard]] std::int64_t traffic() const;

 private:
  template <class F>
  void each_mean(F&& f) const;

  const TensorUpdateParts& parts_;
  std::vector<CompressedMean> means_;  ///< one for each group that trains
};

/// Whether a device computes, and the update takes place. A dry device counts alone.
[[nodiscard]] bool updates_here(const Exec& ex, const ConstView& decision);

}  // namespace trireme
