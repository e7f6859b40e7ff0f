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
  ex.kernels.add(ex.stream, a, b, y);
}

void cast(const Exec& ex, const ConstView& x, const View& y) {
  check_extents(x, y);
  TRM_CHECK(floating(x.dtype()) && floating(y.dtype()), "a cast of {} to {}",
            name_of(x.dtype()), name_of(y.dtype()));
  ex.kernels.cast(ex.stream, x, y);
}

void accumulate(const Exec& ex, const ConstView& x, const View& y) {
  check_extents(x, y);
  check_precisions({x, y});
  ex.kernels.accumulate(ex.stream, x, y);
}

void copy(const Exec& ex, const ConstView& x, const View& y) {
  check_same(x, y);
  ex.kernels.copy(ex.stream, x, y);
}

void dropout(const Exec& ex, const ConstView& x, const Dropout& spec, const ConstView& add,
             const View& y) {
  check_same(x, y);
  if (!add.empty()) check_same(add, y);
  TRM_CHECK(spec.probability >= 0 && spec.probability < 1, "dropout with probability {}",
            spec.probability);
  ex.kernels.dropout(ex.stream, x, spec, add, y);
}

void accumulate_squares(const Exec& ex, const ConstView& x, const View& total) {
  TRM_CHECK(total.dtype() == DType::f64 && total.count() == 1, "a sum of squares into {}",
            total.shape().str());
  ex.kernels.accumulate_squares(ex.stream, x, total);
}

void note_non_finite(const Exec& ex, const ConstView& x, std::int64_t code, const View& least) {
  TRM_CHECK(least.dtype() == DType::i64 && least.count() == 1, "the least code in {} {}",
            name_of(least.dtype()), least.shape().str());
  ex.kernels.note_non_finite(ex.stream, x, code, least);
}

std::int64_t first_non_finite(const Exec& ex, const ConstView& x) {
  return ex.kernels.first_non_finite(ex.stream, x);
}

}  // namespace trireme::ops
