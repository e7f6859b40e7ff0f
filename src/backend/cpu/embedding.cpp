// SPDX-License-Identifier: Apache-2.0
// Table look-ups; gradients are scattered by columns, so that token order alone fixes the sums.
#include "kernels.hpp"
#include "parallel.hpp"

namespace trireme::cpu {

void CpuKernels::embedding_forward(Stream&, const ConstView& ids, const ConstView& table,
                                   std::int64_t first_row, const View& y) {
  by_type(y.dtype(), [&]<class T>(T) {
    const auto* id = ids.data<std::int32_t>();
    parallel_rows(y, [&](std::int64_t r) {
      const std::int64_t at = id[r] - first_row;
      if (at >= 0 && at < table.rows()) {
        row<T>(y, r) = row<T>(table, at);
      } else {
        row<T>(y, r).setZero();
      }
    });
  });
}

void CpuKernels::embedding_backward(Stream&, const ConstView& ids, const ConstView& dy,
                                    std::int64_t first_row, const View& dtable) {
  by_type(dy.dtype(), [&]<class T>(T) {
    const auto* id = ids.data<std::int32_t>();
    parallel_for(dy.cols(), dy.rows(), 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = 0; r < dy.rows(); ++r) {
        const std::int64_t at = id[r] - first_row;
        if (at < 0 || at >= dtable.rows()) continue;
        Row<T>(row_data<T>(dtable, at) + begin, end - begin) +=
            ConstRow<T>(row_data<T>(dy, r) + begin, end - begin);
      }
    });
  });
}

void CpuKernels::positions_forward(Stream&, const ConstView& table, std::int64_t seq,
                                   std::int64_t first_row, const View& y) {
  by_type(y.dtype(), [&]<class T>(T) {
    parallel_rows(
        y, [&](std::int64_t r) { row<T>(y, r) += row<T>(table, (first_row + r) % seq); });
  });
}

void CpuKernels::positions_backward(Stream&, const ConstView& dy, std::int64_t seq,
                                    std::int64_t first_row, const View& dtable) {
  by_type(dy.dtype(), [&]<class T>(T) {
    parallel_for(dy.cols(), dy.rows(), 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = 0; r < dy.rows(); ++r) {
        Row<T>(row_data<T>(dtable, (first_row + r) % seq) + begin, end - begin) +=
            ConstRow<T>(row_data<T>(dy, r) + begin, end - begin);
      }
    });
  });
}

}  // namespace trireme::cpu
