// SPDX-License-Identifier: Apache-2.0
// Element-wise operations: sums, copies, dropout.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// y = a + b; y may be a or b.
void add(const Exec& ex, const ConstView& a, const ConstView& b, const View& y);
/// y = x in y's type, for floating types. Rounds to nearest even; fp16 overflows to inf. Row
/// strides may differ.
void cast(const Exec& ex, const ConstView& x, const View& y);
/// y += x in y's type; the sum is computed in fp32. fp64 combines with fp64 alone.
void accumulate(const Exec& ex, const ConstView& x, const View& y);
/// y = x; row strides may differ.
void copy(const Exec& ex, const ConstView& x, const View& y);
/// y = add + mask · x / (1 − p). `add` may be empty; y may be x or add. The operation is its
/// own adjoint in x. Element (i, j) is kept if word j mod 4 of philox(key, first_row + i, j /
/// 4) is ≥ p · 2³².
void dropout(const Exec& ex, const ConstView& x, const Dropout& spec, const ConstView& add,
             const View& y);
/// total (fp64 [1]) += Σ x².
void accumulate_squares(const Exec& ex, const ConstView& x, const View& total);
/// least (int64 [1]) ← min(least, code) if x holds an inf or NaN.
void note_non_finite(const Exec& ex, const ConstView& x, std::int64_t code, const View& least);
/// Returns the index of the first element that is inf or NaN, −1 if none. Waits for the stream.
[[nodiscard]] std::int64_t first_non_finite(const Exec& ex, const ConstView& x);

}  // namespace trireme::ops
