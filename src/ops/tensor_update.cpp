// SPDX-License-Identifier: Apache-2.0
// Checks arguments of updates that need sums over whole parameters.
#include "trireme/ops/tensor_update.hpp"

#include "check.hpp"

namespace trireme::ops {

namespace {

void check_given(const ConstView& state) {
  TRM_CHECK(state.dtype() == DType::f64 && state.count() == StepState::kSlots,
            "the state of a step in {} {}", name_of(state.dtype()), state.shape().str());
}

void check_flat(const ConstView& value, std::initializer_list<ConstView> others) {
  for (const ConstView& v : others) {
    TRM_CHECK(v.empty() || v.count() == value.count(), "an update of {} elements beside {}",
              value.count(), v.count());
    check_contiguous({v});
    check_precisions({value, v});
  }
}

void check_sums(std::initializer_list<ConstView> sums) {
  for (const ConstView& v : sums) {
    TRM_CHECK(v.empty() || (v.dtype() == DType::f64 && v.contiguous()),
              "sums of an update in {} {}", name_of(v.dtype()), v.shape().str());
  }
}

void check_slice(std::int64_t first, std::int64_t columns, std::int64_t count,
                 const ConstView& rows, const ConstView& cols) {
  TRM_CHECK(first >= 0 && columns >= 1 && first + count <= rows.count() * columns &&
                (columns == 1 || cols.count() == columns),
            "elements {} to {} of a parameter with {} rows and {} columns", first,
            first + count, rows.count(), columns);
  check_sums({rows, cols});
}

}  // namespace

void adam_moments(const Exec& ex, const AdamMoments& op) {
  check_given(op.state);
  check_flat(op.gradient, {op.exp_avg, op.exp_avg_sq});
  check_types(op.exp_avg, {op.exp_avg_sq});
  ex.kernels.run(ex.stream, op);
}

void lamb_squares(const Exec& ex, const LambSquares& op) {
  check_given(op.state);
  check_flat(op.value, {op.exp_avg, op.exp_avg_sq});
  check_sums({op.sums});
  ex.kernels.run(ex.stream, op);
}

void lamb_update(const Exec& ex, const LambUpdate& op) {
  check_given(op.state);
  check_flat(op.value, {op.exp_avg, op.exp_avg_sq, op.copy});
  check_sums({op.sums});
  ex.kernels.run(ex.stream, op);
}

void factor_sums(const Exec& ex, const FactorSums& op) {
  check_given(op.state);
  check_slice(op.first, op.columns, op.gradient.count(), op.rows, op.cols);
  ex.kernels.run(ex.stream, op);
}

void adafactor_moments(const Exec& ex, const AdafactorMoments& op) {
  check_given(op.state);
  check_sums({op.row_sums, op.col_sums, op.row_var, op.col_var});
  ex.kernels.run(ex.stream, op);
}

void adafactor_squares(const Exec& ex, const AdafactorSquares& op) {
  check_given(op.state);
  check_slice(op.first, op.columns, op.gradient.count(), op.row_var, op.col_var);
  check_flat(op.value, {op.gradient});
  check_sums({op.sums});
  ex.kernels.run(ex.stream, op);
}

void adafactor_update(const Exec& ex, const AdafactorUpdate& op) {
  check_given(op.state);
  check_slice(op.first, op.columns, op.gradient.count(), op.row_var, op.col_var);
  check_flat(op.value, {op.gradient, op.copy});
  check_sums({op.sums});
  ex.kernels.run(ex.stream, op);
}

void sm3_cover(const Exec& ex, const Sm3Cover& op) {
  check_given(op.state);
  check_slice(op.first, op.columns, op.gradient.count(), op.row_acc, op.col_acc);
  check_slice(op.first, op.columns, op.gradient.count(), op.rows, op.cols);
  ex.kernels.run(ex.stream, op);
}

void sm3_update(const Exec& ex, const Sm3Update& op) {
  check_given(op.state);
  check_slice(op.first, op.columns, op.gradient.count(), op.row_acc, op.col_acc);
  check_flat(op.value, {op.gradient, op.buffer, op.copy});
  ex.kernels.run(ex.stream, op);
}

void muon_direction(const Exec& ex, const MuonDirection& op) {
  check_given(op.state);
  check_flat(op.direction, {op.gradient, op.buffer});
  ex.kernels.run(ex.stream, op);
}

void normalize(const Exec& ex, const Normalize& op) {
  check_sums({op.squares});
  TRM_CHECK(op.x.shape() == op.y.shape(), "{} normalized into {}", op.x.shape().str(),
            op.y.shape().str());
  check_precisions({op.x, op.y});
  ex.kernels.run(ex.stream, op);
}

void apply_direction(const Exec& ex, const ApplyDirection& op) {
  check_given(op.state);
  check_flat(op.value, {op.direction, op.copy});
  ex.kernels.run(ex.stream, op);
}

}  // namespace trireme::ops
