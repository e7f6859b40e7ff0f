// SPDX-License-Identifier: Apache-2.0
// Checks arguments of the sharded cross-entropy.
#include "trireme/ops/cross_entropy.hpp"

#include "check.hpp"

namespace trireme::ops {

namespace {

void check_rows(std::int64_t rows, const ConstView& targets,
                std::initializer_list<ConstView> per_row) {
  TRM_CHECK(targets.dtype() == DType::i32 && targets.count() == rows, "{} targets for {} rows",
            targets.count(), rows);
  check_contiguous({targets});
  check_contiguous(per_row);
  for (const ConstView& v : per_row) {
    TRM_CHECK(v.count() == rows, "{} values for {} rows", v.count(), rows);
  }
}

}  // namespace

void softmax_local(const Exec& ex, const View& logits, const ConstView& targets,
                   std::int64_t first_column, const View& max, const View& sum,
                   const View& picked) {
  check_rows(logits.rows(), targets, {max, sum, picked});
  TRM_CHECK(logits.cols() > 0, "softmax over no column");
  check_accumulators(logits, {max, sum, picked});
  ex.kernels.softmax_local(ex.stream, logits, targets, first_column, max, sum, picked);
}

void softmax_rescale(const Exec& ex, const ConstView& global_max, const ConstView& targets,
                     std::int64_t first_column, std::int64_t columns, const View& max,
                     const View& sum, const View& picked) {
  check_rows(global_max.count(), targets, {global_max, max, sum, picked});
  check_types(global_max, {max, sum, picked});
  ex.kernels.softmax_rescale(ex.stream, global_max, targets, first_column, columns, max, sum,
                             picked);
}

void softmax_loss(const Exec& ex, const ConstView& sum, const ConstView& picked,
                  const View& total) {
  TRM_CHECK(sum.count() == picked.count() && total.dtype() == DType::f64 && total.count() == 1,
            "loss of {} rows", sum.count());
  check_types(sum, {picked});
  check_contiguous({sum, picked});
  ex.kernels.softmax_loss(ex.stream, sum, picked, total);
}

void softmax_gradient(const Exec& ex, const View& exponentials, const ConstView& targets,
                      std::int64_t first_column, const ConstView& factor, const ConstView& sum,
                      double scale, const ConstView& scale_too) {
  TRM_CHECK(scale_too.empty() || (scale_too.dtype() == DType::f64 && scale_too.count() == 1),
            "a factor {} {}", name_of(scale_too.dtype()), scale_too.shape().str());
  check_rows(exponentials.rows(), targets, {factor, sum});
  check_accumulators(exponentials, {factor, sum});
  ex.kernels.softmax_gradient(ex.stream, exponentials, targets, first_column, factor, sum,
                              scale, scale_too);
}

}  // namespace trireme::ops
