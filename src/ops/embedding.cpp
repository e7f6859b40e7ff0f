// SPDX-License-Identifier: Apache-2.0
// Checks arguments of embeddings.
#include "trireme/ops/embedding.hpp"

#include "check.hpp"

namespace trireme::ops {

void embedding_forward(const Exec& ex, const ConstView& ids, const ConstView& table,
                       std::int64_t first_row, const View& y) {
  TRM_CHECK(ids.dtype() == DType::i32 && ids.count() == y.rows() && table.cols() == y.cols(),
            "embedding of {} ids from {} into {}", ids.count(), table.shape().str(),
            y.shape().str());
  check_types(table, {y});
  check_contiguous({ids});
  ex.kernels.embedding_forward(ex.stream, ids, table, first_row, y);
}

void embedding_backward(const Exec& ex, const ConstView& ids, const ConstView& dy,
                        std::int64_t first_row, const View& dtable) {
  TRM_CHECK(ids.dtype() == DType::i32 && ids.count() == dy.rows() && dtable.cols() == dy.cols(),
            "embedding gradient of {} ids from {}", ids.count(), dy.shape().str());
  check_types_or_accumulators(dy, {dtable});
  check_contiguous({ids});
  ex.kernels.embedding_backward(ex.stream, ids, dy, first_row, dtable);
}

void positions_forward(const Exec& ex, const ConstView& table, std::int64_t seq,
                       std::int64_t first_row, const View& y) {
  TRM_CHECK(seq >= 1 && first_row >= 0 && table.rows() >= seq && table.cols() == y.cols(),
            "{} positions from {}", seq, table.shape().str());
  check_types(table, {y});
  ex.kernels.positions_forward(ex.stream, table, seq, first_row, y);
}

void positions_backward(const Exec& ex, const ConstView& dy, std::int64_t seq,
                        std::int64_t first_row, const View& dtable) {
  TRM_CHECK(seq >= 1 && first_row >= 0 && dtable.rows() >= seq && dtable.cols() == dy.cols(),
            "{} positions into {}", seq, dtable.shape().str());
  check_types_or_accumulators(dy, {dtable});
  ex.kernels.positions_backward(ex.stream, dy, seq, first_row, dtable);
}

}  // namespace trireme::ops
