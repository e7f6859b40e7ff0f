// SPDX-License-Identifier: Apache-2.0
// Element-wise operations: sums, copies, dropout.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// y = a + b; y may be a or b.
struct Add {
  ConstView a;
  ConstView b;
  View y;
};
void add(const Exec& ex, const ConstView& a, const ConstView& b, const View& y);

/// y = x in y's type, for floating types. Rounds to nearest even; fp16 overflows to inf. Row
/// strides may differ.
struct Cast {
  ConstView x;
  View y;
};
void cast(const Exec& ex, const ConstView& x, const View& y);

/// y += x in y's type; the sum is computed in fp32. fp64 combines with fp64 alone.
struct Accumulate {
  ConstView x;
  View y;
};
void accumulate(const Exec& ex, const ConstView& x, const View& y);

/// y = x; row strides may differ.
struct Copy {
  ConstView x;
  View y;
};
void copy(const Exec& ex, const ConstView& x, const View& y);

/// y = factor · x.
struct Scale {
  ConstView x;
  double factor;
  View y;  ///< may be x
};
void scale(const Exec& ex, const Scale& op);

/// y = cap · tanh(x / cap): Bello et al., arXiv 1611.09940.
struct Softcap {
  double cap;
  ConstView x;
  View y;  ///< may be x
};
void softcap(const Exec& ex, const Softcap& op);

/// dx = dy · (1 − (y / cap)²).
struct SoftcapGradient {
  double cap;
  ConstView y;  ///< forward's
  ConstView dy;
  View dx;  ///< may be dy
};
void softcap_gradient(const Exec& ex, const SoftcapGradient& op);

/// y = add + mask · x / (1 − p), which is its own adjoint in x. With k = first_column + j,
/// element (i, j) is kept if word k mod 4 of philox(key, first_row + i, k / 4) is ≥ p · 2³².
struct ApplyDropout {
  ConstView x;
  Dropout dropout;
  ConstView add = {};  ///< may be empty
  View y;              ///< may be x or add
};
void apply_dropout(const Exec& ex, const ApplyDropout& op);

/// total += Σ x².
struct AccumulateSquares {
  ConstView x;
  View total;  ///< fp64 [1]
};
void accumulate_squares(const Exec& ex, const ConstView& x, const View& total);

/// least ← min(least, code) if x holds an inf or NaN.
struct NoteNonFinite {
  ConstView x;
  std::int64_t code;
  View least;  ///< int64 [1]
};
void note_non_finite(const Exec& ex, const NoteNonFinite& op);

/// Returns the index of the first element that is inf or NaN, −1 if none. Waits for the stream.
[[nodiscard]] std::int64_t first_non_finite(const Exec& ex, const ConstView& x);

}  // namespace trireme::ops
