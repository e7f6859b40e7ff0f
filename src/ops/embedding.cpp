// SPDX-License-Identifier: Apache-2.0
// Checks arguments of embeddings.
#include "trireme/ops/embedding.hpp"

#include "check.hpp"

namespace trireme::ops {

void embedding_forward(const Exec& ex, const EmbeddingForward& op) {
  TRM_CHECK(op.ids.dtype() == DType::i32 && op.ids.count() == op.y.rows() &&
                op.table.cols() == op.y.cols(),
            "embedding of {} ids from {} into {}", op.ids.count(), op.table.shape().str(),
            op.y.shape().str());
  check_types(op.table, {op.y});
  check_contiguous({op.ids});
  ex.kernels.run(ex.stream, op);
}

void embedding_backward(const Exec& ex, const EmbeddingBackward& op) {
  TRM_CHECK(op.ids.dtype() == DType::i32 && op.ids.count() == op.dy.rows() &&
                op.dtable.cols() == op.dy.cols(),
            "embedding gradient of {} ids from {}", op.ids.count(), op.dy.shape().str());
  check_types_or_accumulators(op.dy, {op.dtable});
  check_contiguous({op.ids});
  ex.kernels.run(ex.stream, op);
}

void positions_forward(const Exec& ex, const PositionsForward& op) {
  TRM_CHECK(op.seq >= 1 && op.first_row >= 0 && op.table.rows() >= op.seq &&
                op.table.cols() == op.y.cols(),
            "{} positions from {}", op.seq, op.table.shape().str());
  check_types(op.table, {op.y});
  ex.kernels.run(ex.stream, op);
}

void positions_backward(const Exec& ex, const PositionsBackward& op) {
  TRM_CHECK(op.seq >= 1 && op.first_row >= 0 && op.dtable.rows() >= op.seq &&
                op.dtable.cols() == op.dy.cols(),
            "{} positions into {}", op.seq, op.dtable.shape().str());
  check_types_or_accumulators(op.dy, {op.dtable});
  ex.kernels.run(ex.stream, op);
}

}  // namespace trireme::ops
