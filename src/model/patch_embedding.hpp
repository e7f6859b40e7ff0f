// SPDX-License-Identifier: Apache-2.0
// The first unit of a vision transformer: patches of images become rows.
#pragma once

#include <optional>

#include "trireme/model/module.hpp"
#include "trireme/model/seam.hpp"

namespace trireme {

/// y = patch Wᵀ + b + position, and class token + position for a sample's first row. W is
/// sharded over tp by its inputs, the bytes of a patch. Takes bytes from MicroBatch::tokens,
/// whose numbers below 0 count as zeros.
class PatchEmbedding final : public Module {
 public:
  /// `values` are the numbers of bytes, [256, 1]: see pixel_values().
  PatchEmbedding(const ModelConfig& config, const TensorParallel& tp, Tensor values);

  [[nodiscard]] std::string name() const override { return "embed_patches"; }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override;
  void visit(const ParameterVisitor& f) override;

 private:
  /// The patches of a micro-batch, [rows, patch_bytes].
  [[nodiscard]] Tensor patches(const Exec& ex, const MicroBatch& mb) const;
  /// What is added to the rows of each sample, [seq, hidden].
  [[nodiscard]] Tensor addends(const Exec& ex, std::int64_t seq) const;
  void backward_addends(const Exec& ex, const Tensor& d, std::int64_t seq) const;
  [[nodiscard]] Dropout dropout(const Exec& ex, const MicroBatch& mb) const;

  TensorParallel tp_;
  Seam out_;
  double dropout_;
  Tensor values_;
  Parameter weight_;
  Parameter bias_;
  std::optional<Parameter> class_token_;
  std::optional<Parameter> positions_;
};

}  // namespace trireme
