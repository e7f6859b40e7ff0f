// SPDX-License-Identifier: Apache-2.0
// Looks up table rows. Gradients are added by columns, in token order for any thread count.
#include <cstring>

#include "kernels.hpp"
#include "windows.hpp"

namespace trireme::cpu {

void CpuKernels::run(Stream&, const ops::EmbeddingForward& op) {
  const auto* id = op.ids.data<std::int32_t>();
  const std::size_t bytes = static_cast<std::size_t>(op.y.cols()) * size_of(op.y.dtype());
  parallel_rows(op.y, [&](std::int64_t r) {
    const std::int64_t at = id[r] - op.first_row;
    if (at >= 0 && at < op.table.rows()) {
      std::memcpy(address(op.y, r, 0), address(op.table, at, 0), bytes);
    } else {
      std::memset(address(op.y, r, 0), 0, bytes);
    }
  });
}

namespace {

/// dtable[row_of(r)] += dy[r] in the order of r, by columns. Skips rows outside of dtable.
template <class F>
void add_rows(const ConstView& dy, const View& dtable, F&& row_of) {
  by_type(dy.dtype(), [&]<class T>(T) {
    parallel_for(dy.cols(), dy.rows(), 16, [&](std::int64_t begin, std::int64_t end) {
      Source<T> from(dy);
      Target<T> to(dtable);
      for (std::int64_t r = 0; r < dy.rows(); ++r) {
        const std::int64_t at = row_of(r);
        if (at < 0 || at >= dtable.rows()) continue;
        to.loaded(at, begin, end - begin) += from.row(r, begin, end - begin);
        to.store();
      }
    });
  });
}

}  // namespace

void CpuKernels::run(Stream&, const ops::EmbeddingBackward& op) {
  const auto* id = op.ids.data<std::int32_t>();
  add_rows(op.dy, op.dtable, [&](std::int64_t r) { return id[r] - op.first_row; });
}

void CpuKernels::run(Stream&, const ops::PositionsForward& op) {
  by_type(op.y.dtype(), [&]<class T>(T) {
    parallel_for(op.y.rows(), op.y.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> from(op.table);
      Target<T> to(op.y);
      for (std::int64_t r = begin; r < end; ++r) {
        to.loaded(r, 0, op.y.cols()) += from.row((op.first_row + r) % op.seq);
        to.store();
      }
    });
  });
}

void CpuKernels::run(Stream&, const ops::PositionsBackward& op) {
  add_rows(op.dy, op.dtable, [&](std::int64_t r) { return (op.first_row + r) % op.seq; });
}

}  // namespace trireme::cpu
