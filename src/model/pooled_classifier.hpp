// SPDX-License-Identifier: Apache-2.0
// The head that classifies texts or images: one row of each sample, maybe a pooler, and the
// classes.
#pragma once

#include <optional>

#include "trireme/model/module.hpp"
#include "trireme/model/seam.hpp"
#include "trireme/ops/cross_entropy.hpp"

#include "linear.hpp"

namespace trireme {

/// Activations → Σ losses of the samples' classes. MicroBatch::classifier_rows chooses a row of
/// each sample, or MicroBatch::samples_of_rows says which rows make up the mean. The pooler is
/// tanh(dense(row)), as BERT's. Every rank of tp computes the whole head, whose arrays are
/// small, from rows that each has whole. All gradients follow in forward.
class PooledClassifier final : public Module {
 public:
  /// With `alone`, no unit below trains, and backward returns no gradient.
  PooledClassifier(const ModelConfig& config, const TensorParallel& tp, bool alone);

  [[nodiscard]] std::string name() const override { return "classifier"; }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override;
  void visit(const ParameterVisitor& f) override;
  [[nodiscard]] bool gradient_in_forward() const override { return true; }

 private:
  /// The chosen rows or the means, [samples, hidden], whole on every rank of tp.
  [[nodiscard]] Tensor chosen(const Exec& ex, const Tensor& x, const MicroBatch& mb) const;
  /// The mean of each sample's rows, without those of other ranks of tp.
  [[nodiscard]] Tensor means(const Exec& ex, const Tensor& x, const MicroBatch& mb) const;
  /// The samples of x's rows, for means().
  [[nodiscard]] View own_samples(const MicroBatch& mb) const;
  /// Number of x's first row within the micro-batch.
  [[nodiscard]] std::int64_t first_row(const MicroBatch& mb) const;
  [[nodiscard]] Dropout dropout(const Exec& ex, const MicroBatch& mb) const;
  /// The gradient of chosen()'s result, from that of the logits.
  [[nodiscard]] Tensor backward_to_rows(const Exec& ex, const Tensor& logits,
                                        const Tensor& features, const Tensor& rows,
                                        const Tensor& pooled, const MicroBatch& mb);

  TensorParallel tp_;
  bool alone_;
  bool takes_means_;
  double dropout_;
  ops::LabelSmoothing smoothing_;
  std::optional<Linear> pooler_;
  Linear classes_;
};

}  // namespace trireme
