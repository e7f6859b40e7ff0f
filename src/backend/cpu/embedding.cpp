// SPDX-License-Identifier: Apache-2.0
// Looks up table rows. Gradients are added by columns, in token order for any thread count.
#include <cstring>

#include "kernels.hpp"
#include "windows.hpp"

namespace trireme::cpu {

void CpuKernels::embedding_forward(Stream&, const ConstView& ids, const ConstView& table,
                                   std::int64_t first_row, const View& y) {
  const auto* id = ids.data<std::int32_t>();
  const std::size_t bytes = static_cast<std::size_t>(y.cols()) * size_of(y.dtype());
  parallel_rows(y, [&](std::int64_t r) {
    const std::int64_t at = id[r] - first_row;
    if (at >= 0 && at < table.rows()) {
      std::memcpy(address(y, r, 0), address(table, at, 0), bytes);
    } else {
      std::memset(address(y, r, 0), 0, bytes);
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

void CpuKernels::embedding_backward(Stream&, const ConstView& ids, const ConstView& dy,
                                    std::int64_t first_row, const View& dtable) {
  const auto* id = ids.data<std::int32_t>();
  add_rows(dy, dtable, [&](std::int64_t r) { return id[r] - first_row; });
}

void CpuKernels::positions_forward(Stream&, const ConstView& table, std::int64_t seq,
                                   std::int64_t first_row, const View& y) {
  by_type(y.dtype(), [&]<class T>(T) {
    parallel_for(y.rows(), y.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> from(table);
      Target<T> to(y);
      for (std::int64_t r = begin; r < end; ++r) {
        to.loaded(r, 0, y.cols()) += from.row((first_row + r) % seq);
        to.store();
      }
    });
  });
}

void CpuKernels::positions_backward(Stream&, const ConstView& dy, std::int64_t seq,
                                    std::int64_t first_row, const View& dtable) {
  add_rows(dy, dtable, [&](std::int64_t r) { return (first_row + r) % seq; });
}

}  // namespace trireme::cpu
