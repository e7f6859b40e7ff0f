// SPDX-License-Identifier: Apache-2.0
// GEMM of a few rows. OpenBLAS packs b, which takes longer than the arithmetic here.
#include "gemm_few_rows.hpp"

#include "lanes.hpp"

namespace trireme::cpu {

namespace {

constexpr std::int64_t kFewRows = 16;
constexpr std::int64_t kColumns = 48;          // whose results are stored together
constexpr std::int64_t kNearBytes = 32 << 10;  // what the L1 cache keeps from a
constexpr std::int64_t kMostDepth = 2048;      // beside more than kFewAtOnce rows

/// Dot products of a's rows and up to kColumns rows of b, which are read from memory once.
template <class T, class W>
class Columns {
 public:
  /// `few` are packed rows.
  Columns(const T* few, std::int64_t m, std::int64_t k) : few_(few), m_(m), k_(k) {
    const std::int64_t row = k * static_cast<std::int64_t>(sizeof(T));
    const std::int64_t parts =
        std::max<std::int64_t>(1, (m * row + kNearBytes - 1) / kNearBytes);
    depth_ = ((k + parts - 1) / parts + kStep - 1) / kStep * kStep;
  }

  /// dots[r · kColumns + j] = few_r · many_j. The rows behind the n ones come next if `more`.
  void run(const RowsAt<W>& many, std::int64_t n, bool more, T* dots) {
    std::int64_t at = 0;
    do {  // runs once even if the depth is 0
      const std::int64_t depth = std::min(depth_, k_ - at);
      by_many(m_, n, [&]<int J>(std::int64_t j) {
        RowsAt<W> next = many.from(j + J, at);
        if (j + J == n) next = at + depth < k_ ? many.from(0, at + depth) : many.from(n, 0);
        if (j + J == n && at + depth == k_ && !more) next = many.from(j, at);
        add<J>(many.from(j, at), next, j, at, depth);
      });
      at += depth;
    } while (at < k_);
    for (std::int64_t r = 0; r < m_; ++r) {
      for (std::int64_t j = 0; j < n; ++j) {
        dots[r * kColumns + j] = sum_lanes<T>(sums_[j * m_ + r]);
      }
    }
  }

 private:
  static constexpr std::int64_t kStep = 64;

  /// Adds products of J rows to their sums. Half precision is widened once for all blocks.
  template <int J>
  void add(const RowsAt<W>& many, const RowsAt<W>& next, std::int64_t j, std::int64_t at,
           std::int64_t depth) {
    if constexpr (!std::is_same_v<T, W>) {
      if (m_ > kFewAtOnce) {
        for (int i = 0; i < J; ++i) widen_row(many.data + i * many.stride, wide_[i], depth);
        return multiply<J>(RowsAt<T>{wide_[0], kMostDepth}, next, j, at, depth);
      }
    }
    multiply<J>(many, next, j, at, depth);
  }

  template <int J, class V>
  void multiply(const RowsAt<V>& many, const RowsAt<W>& next, std::int64_t j, std::int64_t at,
                std::int64_t depth) {
    if (m_ <= kFewAtOnce) {
      return by_few(m_, [&]<int R>(std::int64_t) {
        multiply_block<R, J, J>(0, many, next, j, at, depth);
      });
    }
    // The first two blocks ask for a half each of what comes next.
    constexpr int kHalf = (J + 1) / 2;
    std::int64_t block = 0;
    by_few(m_, [&]<int R>(std::int64_t r) {
      if (block < 2) {
        multiply_block<R, J, kHalf>(r, many, next.from(block * kHalf, 0), j, at, depth);
      } else {
        multiply_block<R, J, 0>(r, many, next, j, at, depth);
      }
      ++block;
    });
  }

  template <int R, int J, int P, class V>
  void multiply_block(std::int64_t r, const RowsAt<V>& many, const RowsAt<W>& next,
                      std::int64_t j, std::int64_t at, std::int64_t depth) {
    Lanes<T> sum[R * J] = {};
    Lanes<T>* const kept = sums_ + j * m_ + r;
    if (at > 0) {
#pragma GCC unroll 32
      for (int i = 0; i < R * J; ++i) sum[i] = kept[i % J * m_ + i / J];
    }
    add_products<R, J, P>(few_ + at * m_ + r * kLanes<T>, m_ * kLanes<T>, many, depth, sum,
                          next);
#pragma GCC unroll 32
    for (int i = 0; i < R * J; ++i) kept[i % J * m_ + i / J] = sum[i];
  }

  static void widen_row(const W* from, T* to, std::int64_t n) {
    std::int64_t i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
      const Lanes<T> x = load_lanes(from + i);
      std::memcpy(to + i, &x, sizeof x);
    }
    if (i == n) return;
    const Lanes<T> x = load_some<T>(from + i, n - i);
    std::memcpy(to + i, &x, sizeof x);
  }

  const T* few_;
  std::int64_t m_;
  std::int64_t k_;
  std::int64_t depth_;  ///< elements of a row that are summed at once
  alignas(64) T wide_[kManyAtOnce][kMostDepth];
  Lanes<T> sums_[kColumns * kFewRows];  ///< all rows' sums of a column, then the next column's
};

/// c's columns from `first` on take `dots`, which has kColumns elements a row. Each element is
/// rounded once.
template <class T>
void store(const ops::Gemm& op, std::int64_t first, std::int64_t n, T* dots, Source<T>& bias,
           Target<T>& c) {
  for (std::int64_t r = 0; r < op.c.rows(); ++r) {
    Row<T> line(dots + r * kColumns, n);
    line *= static_cast<T>(op.alpha);
    if (!op.bias.empty()) line += bias.row(0, first, n);
    // c may hold NaN before, if beta is 0
    if (op.beta != 0) line += static_cast<T>(op.beta) * c.loaded(r, first, n);
    c.row(r, first, n) = line;
    c.store();
  }
}

}  // namespace

bool has_few_rows(const ops::Gemm& op) {
  return op.op_a == Op::n && op.op_b == Op::t && op.c.rows() <= kFewRows;
}

void few_rows_gemm(const ops::Gemm& op, Scratch<float>& scratch) {
  const std::int64_t k = op.a.cols();
  const std::int64_t m = op.c.rows();
  by_type(op.a.dtype(), [&]<class T>(T) {
    Scratch<T> own;
    T* few = nullptr;
    if constexpr (std::is_same_v<T, float>) {
      few = scratch.take(packed_elements<T>(m, k));
    } else {
      few = own.take(packed_elements<T>(m, k));
    }
    by_storage<T>(op.a.dtype(), [&]<class W>(const W*) {
      pack_rows<T>(RowsAt<W>{row_data<W>(op.a, 0), op.a.row_stride()}, m, k, few);
    });
    by_storage<T>(op.b.dtype(), [&]<class W>(const W*) {
      const std::int64_t blocks = (op.c.cols() + kColumns - 1) / kColumns;
      parallel_for(blocks, kColumns * k, 1, [&](std::int64_t begin, std::int64_t end) {
        std::array<T, static_cast<std::size_t>(kFewRows * kColumns)> sums;
        Columns<T, W> columns(few, m, k);
        Source<T> bias(op.bias);
        Target<T> c(op.c);
        for (std::int64_t b = begin; b < end; ++b) {
          const std::int64_t first = b * kColumns;
          const std::int64_t n = std::min(kColumns, op.c.cols() - first);
          columns.run(RowsAt<W>{row_data<W>(op.b, first), op.b.row_stride()}, n, b + 1 < end,
                      sums.data());
          store(op, first, n, sums.data(), bias, c);
        }
      });
    });
  });
}

}  // namespace trireme::cpu
