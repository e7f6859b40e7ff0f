// SPDX-License-Identifier: Apache-2.0
// The norms of queries and keys, with their weights.
#pragma once

#include <optional>

#include "trireme/model/parameter.hpp"
#include "trireme/model/seam.hpp"
#include "trireme/ops/qk_norm.hpp"

namespace trireme {

/// A head's norm is whole on one rank, and each rank of tp adds to the gradient of its weights.
/// A row's norm covers the heads of all ranks, and its weights are sharded with the heads. Its
/// sums are reduced over tp, once in forward and once in backward.
class QkNormalization {
 public:
  QkNormalization(const std::string& name, const ModelConfig& config, const TensorParallel& tp);

  /// Returns qkv with normed queries and keys. `sums` receives what backward needs.
  [[nodiscard]] Tensor forward(const Exec& ex, const AttentionShape& shape, const Tensor& qkv,
                               Tensor& sums) const;
  /// Turns the gradient of the result into that of qkv, in place. Accumulates the weights'
  /// gradients.
  void backward(const Exec& ex, const AttentionShape& shape, const Tensor& qkv,
                const Tensor& sums, const Tensor& dqkv);
  void visit(const ParameterVisitor& f);

 private:
  struct Part {
    Parameter weight;
    std::optional<Parameter> bias;
    [[nodiscard]] ConstView bias_value() const {
      return bias ? ConstView(bias->value) : ConstView();
    }
  };
  [[nodiscard]] static Part make(const std::string& name, const ModelConfig& config,
                                 const TensorParallel& tp, std::int64_t heads);
  [[nodiscard]] ops::QkNormRule rule(const AttentionShape& shape) const;
  /// Sums over all ranks that share a norm.
  [[nodiscard]] Tensor sums_of(const Exec& ex, const ops::QkNormSums& op) const;

  ops::QkNormRule rule_;
  TensorParallel tp_;
  Part queries_;
  Part keys_;
};

}  // namespace trireme
