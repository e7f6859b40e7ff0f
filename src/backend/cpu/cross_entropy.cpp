// SPDX-License-Identifier: Apache-2.0
// The sharded softmax: one pass of exponentials, one of scaling.
#include <limits>

#include "kernels.hpp"
#include "windows.hpp"

namespace trireme::cpu {

namespace {

constexpr std::int64_t kChunk = 2048;  // summing by chunks rounds less than one long sum

/// Calls f(first column, width) for each chunk of a row of n columns.
template <class F>
void by_chunks(std::int64_t n, F&& f) {
  for (std::int64_t c = 0; c < n; c += kChunk) f(c, std::min(kChunk, n - c));
}

}  // namespace

void CpuKernels::softmax_local(Stream&, const View& logits, const ConstView& targets,
                               std::int64_t first_column, const View& max, const View& sum,
                               const View& picked) {
  by_type(logits.dtype(), [&]<class T>(T) {
    const auto* target = targets.data<std::int32_t>();
    const std::int64_t cols = logits.cols();
    parallel_for(logits.rows(), cols, 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> in(logits);
      Target<T> out(logits);
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int64_t at = target[r] - first_column;
        picked.data<T>()[r] = at >= 0 && at < cols ? in.row(r, at, 1)[0] : T{0};
        T m = -std::numeric_limits<T>::infinity();
        by_chunks(cols, [&](std::int64_t c, std::int64_t n) {
          m = std::max(m, in.row(r, c, n).maxCoeff());
        });
        T total{0};
        by_chunks(cols, [&](std::int64_t c, std::int64_t n) {
          Row<T> part = out.loaded(r, c, n);
          part = (part - m).exp();
          total += part.sum();
          out.store();
        });
        max.data<T>()[r] = m;
        sum.data<T>()[r] = total;
      }
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
                                  const ConstView& sum, double given_scale,
                                  const ConstView& scale_too) {
  const double scale =
      scale_too.empty() ? given_scale : given_scale * *scale_too.data<double>();
  by_type(logits.dtype(), [&]<class T>(T) {
    const auto* target = targets.data<std::int32_t>();
    parallel_for(logits.rows(), logits.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Target<T> z(logits);
      for (std::int64_t r = begin; r < end; ++r) {
        const T f = static_cast<T>(scale) * factor.data<T>()[r] / sum.data<T>()[r];
        by_chunks(logits.cols(), [&](std::int64_t c, std::int64_t n) {
          Row<T> part = z.loaded(r, c, n);
          part *= f;
          const std::int64_t at = target[r] - first_column - c;
          if (at >= 0 && at < n) part[at] -= static_cast<T>(scale);
          z.store();
        });
      }
    });
  });
}

}  // namespace trireme::cpu
