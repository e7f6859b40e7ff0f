// SPDX-License-Identifier: Apache-2.0
// GEMM in half precision. All threads together widen panels of both operands to fp32. Each
// thread multiplies tiles of the panels with a single-threaded GEMM of OpenBLAS. Tiles depend
// on the extents alone, which makes the order of sums independent of threads.
#include "gemm_half.hpp"

#include <array>

#include "blas.hpp"

namespace trireme::cpu {

namespace {

// Threads wait for each other at each step, which makes few steps best. A block of c is square
// if possible, else long.
constexpr std::int64_t kSide = 1024;
constexpr std::int64_t kLongest = 8192;
constexpr std::int64_t kBlock = kSide * kSide;       // elements, 4 MiB
constexpr std::int64_t kPanels = 2 * kSide * kSide;  // both operands together, 8 MiB
constexpr std::int64_t kTileRows = 512;
constexpr std::int64_t kTileCols = 256;

struct Range {
  std::int64_t first;
  std::int64_t count;
};

/// Splits n into equal ranges of at most `most` and returns their size, a multiple of 16.
std::int64_t part(std::int64_t n, std::int64_t most) {
  const std::int64_t parts = (n + most - 1) / most;
  return ((n + parts - 1) / parts + 15) / 16 * 16;
}

/// Returns the other side of a block of c whose first side is n: a multiple of kTileRows.
std::int64_t other_side(std::int64_t n) {
  return std::min(kLongest, kBlock / std::min(n, kSide) / kTileRows * kTileRows);
}

/// How a block of c is split into tiles.
struct Tiles {
  Tiles(std::int64_t block_rows, std::int64_t block_cols)
      : rows(part(block_rows, kTileRows)), cols(part(block_cols, kTileCols)) {
    across = (block_cols + cols - 1) / cols;
    if (across < 4 && block_rows <= kTileRows) rows = part(block_rows, kTileRows / 2);
    count = (block_rows + rows - 1) / rows * across;
  }
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t across;
  std::int64_t count;
};

class HalfGemm {
 public:
  HalfGemm(const ops::Gemm& op, Scratch<float>& scratch)
      : a_(op.a),
        b_(op.b),
        bias_(op.bias),
        c_(op.c),
        op_a_(op.op_a),
        op_b_(op.op_b),
        alpha_(static_cast<float>(op.alpha)),
        beta_(static_cast<float>(op.beta)),
        depth_(op_a_ == Op::n ? a_.cols() : a_.rows()),
        leading_c_(leading(c_)) {
    rows_ = std::min(c_.rows(), other_side(c_.cols()));
    cols_ = std::min(c_.cols(), other_side(c_.rows()));
    depth_step_ = std::min(depth_, kPanels / (rows_ + cols_) / 64 * 64);
    const Tiles tiles(rows_, cols_);
    const std::int64_t block = tiles.count * tiles.rows * tiles.cols;
    a_panel_ = scratch.take((rows_ + cols_) * depth_step_ + (direct() ? 0 : block));
    b_panel_ = a_panel_ + rows_ * depth_step_;
    block_ = b_panel_ + cols_ * depth_step_;
  }

  /// Computes c. All threads of a parallel region call this function.
  void run() const {
    for (std::int64_t n = 0; n < c_.cols(); n += cols_) {
      const Range cols{n, std::min(cols_, c_.cols() - n)};
      for (std::int64_t m = 0; m < c_.rows(); m += rows_) {
        const Range rows{m, std::min(rows_, c_.rows() - m)};
        std::int64_t k = 0;
        do {  // runs once even if the depth is 0
          const Range depth{k, std::min(depth_step_, depth_ - k)};
          widen_panel(a_, op_a_, rows, depth, a_panel_);
          // If the whole depth fits into one panel, b's panel of the previous rows is still
          // valid.
          if (m == 0 || depth_ > depth_step_) {
            widen_panel(b_, op_b_ == Op::n ? Op::t : Op::n, cols, depth, b_panel_);
          }
#pragma omp barrier
          multiply(rows, cols, depth);
          k += depth_step_;
        } while (k < depth_);
      }
    }
  }

 private:
  [[nodiscard]] bool direct() const { return c_.dtype() == DType::f32; }

  /// Widens a panel in memory order: [outer, depth] for op n, [depth, outer] for op t.
  static void widen_panel(const ConstView& x, Op op, const Range& outer, const Range& depth,
                          float* to) {
    const Range& rows = op == Op::n ? outer : depth;
    const Range& cols = op == Op::n ? depth : outer;
#pragma omp for schedule(static) nowait
    for (std::int64_t r = 0; r < rows.count; ++r) {
      widen(x.dtype(), address(x, rows.first + r, cols.first), to + r * cols.count, cols.count);
    }
  }

  void multiply(const Range& rows, const Range& cols, const Range& depth) const {
    const Tiles tiles(rows.count, cols.count);
#pragma omp for schedule(dynamic)
    for (std::int64_t i = 0; i < tiles.count; ++i) {
      const std::int64_t r = i / tiles.across * tiles.rows;
      const std::int64_t c = i % tiles.across * tiles.cols;
      tile(rows, cols, depth, {r, std::min(tiles.rows, rows.count - r)},
           {c, std::min(tiles.cols, cols.count - c)}, block_ + i * tiles.rows * tiles.cols);
    }
  }

  /// Computes rows `tr` and columns `tc` of a block of c. Partial results are kept in `sums`
  /// unless c is fp32.
  void tile(const Range& rows, const Range& cols, const Range& depth, const Range& tr,
            const Range& tc, float* sums) const {
    const std::int64_t at = rows.first + tr.first;
    const std::int64_t column = cols.first + tc.first;
    float* out = direct() ? row_data<float>(c_, at) + column : sums;
    const int stride = direct() ? leading_c_ : static_cast<int>(tc.count);
    float keep = 1;
    if (depth.first == 0) {
      keep = beta_;
      if (!bias_.empty() || (!direct() && beta_ != 0)) {
        begin(at, column, tr.count, tc.count, out, stride);
        keep = 1;
      }
    }
    const std::int64_t lda = op_a_ == Op::n ? depth.count : rows.count;
    const std::int64_t ldb = op_b_ == Op::n ? cols.count : depth.count;
    blas(op_a_, op_b_, static_cast<int>(tr.count), static_cast<int>(tc.count),
         static_cast<int>(depth.count), a_panel_ + tr.first * (op_a_ == Op::n ? lda : 1),
         static_cast<int>(std::max<std::int64_t>(1, lda)),
         b_panel_ + tc.first * (op_b_ == Op::n ? 1 : ldb),
         static_cast<int>(std::max<std::int64_t>(1, ldb)), keep, out, stride, alpha_);
    if (direct() || depth.first + depth.count < depth_) return;
    for (std::int64_t r = 0; r < tr.count; ++r) {
      narrow(out + r * stride, c_.dtype(), address(c_, at + r, column), tc.count);
    }
  }

  /// out = beta c + bias.
  void begin(std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t cols,
             float* out, int stride) const {
    std::array<float, kTileCols> bias{};
    if (!bias_.empty()) widen(bias_.dtype(), address(bias_, 0, column), bias.data(), cols);
    for (std::int64_t r = 0; r < rows; ++r) {
      Row<float> to(out + r * stride, cols);
      if (beta_ == 0) {
        to.setZero();  // c may hold NaN before
      } else {
        if (!direct()) widen(c_.dtype(), address(c_, row + r, column), to.data(), cols);
        to *= beta_;
      }
      to += ConstRow<float>(bias.data(), cols);
    }
  }

  const ConstView& a_;
  const ConstView& b_;
  const ConstView& bias_;
  const View& c_;
  Op op_a_;
  Op op_b_;
  float alpha_;
  float beta_;
  std::int64_t depth_;
  std::int64_t rows_;  ///< rows of a block of c
  std::int64_t cols_;
  std::int64_t depth_step_;
  int leading_c_;
  float* a_panel_;
  float* b_panel_;
  float* block_;  ///< partial sums, unless c is fp32
};

}  // namespace

void half_gemm(const ops::Gemm& op, Scratch<float>& scratch) {
  const HalfGemm product(op, scratch);
#pragma omp parallel
  product.run();
}

}  // namespace trireme::cpu
