// SPDX-License-Identifier: Apache-2.0
// Checks arguments of element-wise operations.
#include "trireme/ops/elementwise.hpp"

#include "check.hpp"

namespace trireme::ops {

namespace {

void check_extents(const ConstView& a, const ConstView& b) {
  TRM_CHECK(a.rows() == b.rows() && a.cols() == b.cols(), "{} beside {}", a.shape().str(),
            b.shape().str());
}

void check_same(const ConstView& a, const ConstView& b) {
  check_extents(a, b);
  check_types(a, {b});
}

}  // namespace

void add(const Exec& ex, const ConstView& a, const ConstView& b, const View& y) {
  check_same(a, b);
  check_same(a, y);
  ex.kernels.run(ex.stream, Add{.a = a, .b = b, .y = y});
}

void cast(const Exec& ex, const ConstView& x, const View& y) {
  check_extents(x, y);
  TRM_CHECK(floating(x.dtype()) && floating(y.dtype()), "a cast of {} to {}",
            name_of(x.dtype()), name_of(y.dtype()));
  ex.kernels.run(ex.stream, Cast{.x = x, .y = y});
}

void accumulate(const Exec& ex, const ConstView& x, const View& y) {
  check_extents(x, y);
  check_precisions({x, y});
  ex.kernels.run(ex.stream, Accumulate{.x = x, .y = y});
}

void copy(const Exec& ex, const ConstView& x, const View& y) {
  check_same(x, y);
  ex.kernels.run(ex.stream, Copy{.x = x, .y = y});
}

void scale(const Exec& ex, const Scale& op) {
  check_same(op.x, op.y);
  ex.kernels.run(ex.stream, op);
}

void softcap(const Exec& ex, const Softcap& op) {
  check_same(op.x, op.y);
  TRM_CHECK(op.cap > 0, "a cap of {}", op.cap);
  ex.kernels.run(ex.stream, op);
}

void softcap_gradient(const Exec& ex, const SoftcapGradient& op) {
  check_same(op.y, op.dy);
  check_same(op.y, op.dx);
  TRM_CHECK(op.cap > 0, "a cap of {}", op.cap);
  ex.kernels.run(ex.stream, op);
}

void apply_dropout(const Exec& ex, const ApplyDropout& op) {
  check_same(op.x, op.y);
  if (!op.add.empty()) check_same(op.add, op.y);
  TRM_CHECK(op.dropout.probability >= 0 && op.dropout.probability < 1 &&
                op.dropout.first_column % 4 == 0,
            "dropout with probability {} from column {}", op.dropout.probability,
            op.dropout.first_column);
  ex.kernels.run(ex.stream, op);
}

void accumulate_squares(const Exec& ex, const ConstView& x, const View& total) {
  TRM_CHECK(total.dtype() == DType::f64 && total.count() == 1, "a sum of squares into {}",
            total.shape().str());
  ex.kernels.run(ex.stream, AccumulateSquares{.x = x, .total = total});
}

void note_non_finite(const Exec& ex, const NoteNonFinite& op) {
  TRM_CHECK(op.least.dtype() == DType::i64 && op.least.count() == 1, "the least code in {} {}",
            name_of(op.least.dtype()), op.least.shape().str());
  ex.kernels.run(ex.stream, op);
}

std::int64_t first_non_finite(const Exec& ex, const ConstView& x) {
  return ex.kernels.first_non_finite(ex.stream, x);
}

}  // namespace trireme::ops
