// SPDX-License-Identifier: Apache-2.0
// What optimizers that compress share: compressed means over dp, by flat group.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "trireme/optim/compressed_mean.hpp"

#include "tensor_update.hpp"

namespace trireme {

/// For average(), state array 0 is the momentum and array 1 the variance. Each rank of dp holds
/// whole arrays, since such an optimizer goes with ZeRO's stage 0 alone.
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

  /// Replaces array_of(t) of each parameter by the compressed mean over dp. One rank keeps its
  /// arrays. Collective over dp.
  void compress(const std::function<View(const UpdatedTensor& t)>& array_of) const;

  /// See TensorUpdate.
  void visit_rows(
      const std::function<void(const char* kind, const Parameter&, const View& own)>& f) const;
  void visit_server_errors(
      const std::function<void(const Parameter&, const View& error)>& f) const;
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
