// SPDX-License-Identifier: Apache-2.0
// A low-rank adapter beside a linear layer: LoRA (Hu et al., arXiv 2106.09685).
#pragma once

#include "trireme/model/parameter.hpp"
#include "trireme/model/seam.hpp"
#include "trireme/model/tape.hpp"
#include "trireme/model/trained.hpp"

namespace trireme {

/// y += scale · dropout(x) Aᵀ Bᵀ, with A [rank, in] and B [out, rank]. Beside a matrix sharded
/// by outputs, B is sharded alike. Each rank of tp then has the whole A and an addend of its
/// gradient. Beside a matrix sharded by inputs, A is sharded, and each rank has the whole B.
/// The matrix's collectives sum y and dx.
class Adapter {
 public:
  /// For the shard `weight` of the matrix `name`.
  Adapter(const std::string& name, const LoraConfig& config, const Parameter& weight,
          const TensorParallel& tp);

  void add_output(const Exec& ex, const ConstView& x, const MicroBatch& mb,
                  const View& y) const;
  /// Adds to the gradients of A and B.
  void accumulate_gradients(const Exec& ex, const ConstView& dy, const ConstView& x,
                            const MicroBatch& mb);
  void add_input_gradient(const Exec& ex, const ConstView& dy, const MicroBatch& mb,
                          const View& dx) const;
  void visit(const ParameterVisitor& f);

 private:
  [[nodiscard]] Dropout dropout(const Exec& ex, const MicroBatch& mb) const;
  /// scale · dy B, the gradient of dropout(x) Aᵀ.
  [[nodiscard]] Tensor inner_gradient(const Exec& ex, const ConstView& dy) const;

  double scale_;
  double dropout_;
  std::uint32_t stream_;
  Parameter a_;
  Parameter b_;
};

}  // namespace trireme
