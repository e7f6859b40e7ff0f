// SPDX-License-Identifier: Apache-2.0
// Seam: one collective over tp and its adjoint. Tensor parallelism (Megatron-LM,
// arXiv 1909.08053) and sequence parallelism (arXiv 2205.05198) differ only by their seams.
#pragma once

#include "trireme/comm/communicator.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme {

class Seam {
 public:
  enum class Kind : std::uint8_t {
    none,    ///< one rank
    copy,    ///< forward: as is; backward: all-reduce
    reduce,  ///< forward: all-reduce; backward: as is
    gather,  ///< forward: all ranks' rows; backward: reduce-scatter of rows
    scatter  ///< forward: reduce-scatter of rows; backward: all ranks' rows
  };

  Seam() = default;
  Seam(Kind kind, Communicator& tp) : kind_(kind), tp_(&tp) {}

  /// Whether forward() or backward() communicates.
  [[nodiscard]] bool communicates() const { return kind_ != Kind::none; }
  /// Collective over tp. The result may share x's memory. Copy and reduce work in place, so
  /// that no one else may hold the reduced tensor.
  [[nodiscard]] Tensor forward(const Exec& ex, Tensor x) const;
  [[nodiscard]] Tensor backward(const Exec& ex, Tensor dy) const;

 private:
  [[nodiscard]] Tensor all_reduce(Tensor x) const;
  [[nodiscard]] Tensor all_gather(const Exec& ex, const Tensor& x) const;
  [[nodiscard]] Tensor reduce_scatter(const Exec& ex, const Tensor& x) const;

  Kind kind_ = Kind::none;
  Communicator* tp_ = nullptr;
};

/// How a model is sharded over tp. Under sequence parallelism, activations between sublayers
/// hold this rank's share of the rows (tokens), else all rows on every rank.
struct TensorParallel {
  Communicator* comm = nullptr;  ///< null: one rank alone
  bool sequence_parallel = false;

  [[nodiscard]] int rank() const { return comm != nullptr ? comm->rank() : 0; }
  [[nodiscard]] int size() const { return comm != nullptr ? comm->size() : 1; }
  [[nodiscard]] bool rows_are_cut() const { return sequence_parallel && size() > 1; }
  [[nodiscard]] std::int64_t local_rows(std::int64_t rows) const {
    return rows_are_cut() ? rows / size() : rows;
  }
  /// The seam from the residual stream to the input of column-sharded weights.
  [[nodiscard]] Seam in() const;
  /// The seam from the partial sums of row-sharded weights to the residual stream.
  [[nodiscard]] Seam out() const;
};

}  // namespace trireme
