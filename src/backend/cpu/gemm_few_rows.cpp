// SPDX-License-Identifier: Apache-2.0
// GEMM of a few rows. OpenBLAS packs b, which takes longer than the arithmetic here.
#include "gemm_few_rows.hpp"

#include "lanes.hpp"

namespace trireme::cpu {

namespace {

constexpr std::int64_t kFewRows = 16;
constexpr std::int64_t kColumns = 64;  // whose results are stored together

/// c's columns from `first` on take `dots`, which has kColumns elements a row.
template <class T>
void store(const ops::Gemm& op, std::int64_t first, std::int64_t n, const T* dots,
           Source<T>& bias, Target<T>& c) {
  const T alpha = static_cast<T>(op.alpha);
  for (std::int64_t r = 0; r < op.c.rows(); ++r) {
    const ConstRow<T> sums(dots + r * kColumns, n);
    if (op.beta == 0) {
      c.row(r, first, n) = alpha * sums;  // c may hold NaN before
    } else {
      c.loaded(r, first, n) = alpha * sums + static_cast<T>(op.beta) * c.loaded(r, first, n);
    }
    c.store();
    if (op.bias.empty()) continue;
    c.loaded(r, first, n) += bias.row(0, first, n);
    c.store();
  }
}

}  // namespace

bool has_few_rows(const ops::Gemm& op) {
  return op.op_a == Op::n && op.op_b == Op::t && op.alpha == 1 && op.c.rows() <= kFewRows;
}

void few_rows_gemm(const ops::Gemm& op, Scratch<float>& scratch) {
  const std::int64_t k = op.a.cols();
  const std::int64_t m = op.c.rows();
  by_type(op.a.dtype(), [&]<class T>(T) {
    RowsAt<T> few{row_data<T>(op.a, 0), op.a.row_stride()};
    if constexpr (std::is_same_v<T, float>) {
      if (op.a.dtype() != DType::f32) {
        float* const wide = scratch.take(m * k);
        for (std::int64_t r = 0; r < m; ++r) {
          widen(op.a.dtype(), address(op.a, r, 0), wide + r * k, k);
        }
        few = {wide, k};
      }
    }
    by_storage<T>(op.b.dtype(), [&]<class W>(const W*) {
      const std::int64_t blocks = (op.c.cols() + kColumns - 1) / kColumns;
      parallel_for(blocks, kColumns * k, 1, [&](std::int64_t begin, std::int64_t end) {
        std::array<T, static_cast<std::size_t>(kFewRows * kColumns)> sums;
        Source<T> bias(op.bias);
        Target<T> c(op.c);
        for (std::int64_t b = begin; b < end; ++b) {
          const std::int64_t first = b * kColumns;
          const std::int64_t n = std::min(kColumns, op.c.cols() - first);
          dots(few, m, RowsAt<W>{row_data<W>(op.b, first), op.b.row_stride()}, n, k,
               sums.data(), kColumns);
          store(op, first, n, sums.data(), bias, c);
        }
      });
    });
  });
}

}  // namespace trireme::cpu
