// SPDX-License-Identifier: Apache-2.0
// The cut softmax: one pass of exponentials, one of scaling.
#include "kernels.hpp"
#include "parallel.hpp"

namespace trireme::cpu {

void CpuKernels::softmax_local(Stream&, const View& logits, const ConstView& targets,
                               std::int64_t first_column, const View& max, const View& sum,
                               const View& picked) {
  by_type(logits.dtype(), [&]<class T>(T) {
    const auto* target = targets.data<std::int32_t>();
    T* row_max = max.data<T>();
    T* row_sum = sum.data<T>();
    T* row_picked = picked.data<T>();
    parallel_rows(logits, [&](std::int64_t r) {
      Row<T> z = row<T>(logits, r);
      const std::int64_t at = target[r] - first_column;
      row_picked[r] = at >= 0 && at < z.size() ? z[at] : T{0};
      const T m = z.maxCoeff();
      row_max[r] = m;
      T total{0};
      constexpr std::int64_t kChunk = 2048;  // sums of chunks round less than one long sum
      for (std::int64_t c = 0; c < z.size(); c += kChunk) {
        auto part = z.segment(c, std::min(kChunk, z.size() - c));
        part = (part - m).exp();
        total += part.sum();
      }
      row_sum[r] = total;
    });
  });
}

void CpuKernels::softmax_rescale(Stream&, const ConstView& global_max, const ConstView& targets,
                                 std::int64_t first_column, std::int64_t columns,
                                 const View& max, const View& sum, const View& picked) {
  by_type(max.dtype(), [&]<class T>(T) {
    const auto* target = targets.data<std::int32_t>();
    const T* global = global_max.data<T>();
    for (std::int64_t r = 0; r < global_max.count(); ++r) {
      const std::int64_t at = target[r] - first_column;
      if (at >= 0 && at < columns) picked.data<T>()[r] -= global[r];
      T& factor = max.data<T>()[r];
      factor = std::exp(factor - global[r]);
      sum.data<T>()[r] *= factor;
    }
  });
}

void CpuKernels::softmax_loss(Stream&, const ConstView& sum, const ConstView& picked,
                              const View& total) {
  by_type(sum.dtype(), [&]<class T>(T) {
    double loss = 0;
    for (std::int64_t r = 0; r < sum.count(); ++r) {
      loss += std::log(static_cast<double>(sum.data<T>()[r])) -
              static_cast<double>(picked.data<T>()[r]);
    }
    *total.data<double>() += loss;
  });
}

void CpuKernels::softmax_gradient(Stream&, const View& logits, const ConstView& targets,
                                  std::int64_t first_column, const ConstView& factor,
                                  const ConstView& sum, double scale) {
  by_type(logits.dtype(), [&]<class T>(T) {
    const auto* target = targets.data<std::int32_t>();
    parallel_rows(logits, [&](std::int64_t r) {
      Row<T> z = row<T>(logits, r);
      z *= static_cast<T>(scale) * factor.data<T>()[r] / sum.data<T>()[r];
      const std::int64_t at = target[r] - first_column;
      if (at >= 0 && at < z.size()) z[at] -= static_cast<T>(scale);
    });
  });
}

}  // namespace trireme::cpu
