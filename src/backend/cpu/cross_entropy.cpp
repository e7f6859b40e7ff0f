// SPDX-License-Identifier: Apache-2.0
// The sharded softmax: one pass of exponentials, one of scaling.
#include <limits>

#include "kernels.hpp"
#include "windows.hpp"

namespace trireme::cpu {

namespace {

constexpr std::int64_t kSumChunk = 2048;  // summing by chunks rounds less than one long sum

/// Calls f(first column, width) for each chunk of a row of n columns.
template <class F>
void by_chunks(std::int64_t n, F&& f) {
  for (std::int64_t c = 0; c < n; c += kSumChunk) f(c, std::min(kSumChunk, n - c));
}

}  // namespace

void CpuKernels::run(Stream&, const ops::SoftmaxLocal& op) {
  by_type(op.logits.dtype(), [&]<class T>(T) {
    const auto* target = op.targets.data<std::int32_t>();
    const std::int64_t cols = op.logits.cols();
    parallel_for(op.logits.rows(), cols, 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> in(op.logits);
      Target<T> out(op.logits);
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int64_t at = target[r] - op.first_column;
        T picked = at >= 0 && at < cols ? in.row(r, at, 1)[0] : T{0};
        if (op.smoothing.share > 0) {
          T all{0};
          by_chunks(cols,
                    [&](std::int64_t c, std::int64_t n) { all += in.row(r, c, n).sum(); });
          picked = static_cast<T>(op.smoothing.own()) * picked +
                   static_cast<T>(op.smoothing.each()) * all;
        }
        op.picked.data<T>()[r] = picked;
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
        op.max.data<T>()[r] = m;
        op.sum.data<T>()[r] = total;
      }
    });
  });
}

void CpuKernels::run(Stream&, const ops::SoftmaxRescale& op) {
  by_type(op.max.dtype(), [&]<class T>(T) {
    const auto* target = op.targets.data<std::int32_t>();
    const T* global = op.global_max.data<T>();
    for (std::int64_t r = 0; r < op.global_max.count(); ++r) {
      const std::int64_t at = target[r] - op.first_column;
      const double own = at >= 0 && at < op.columns ? op.smoothing.own() : 0;
      const double rest = op.smoothing.each() * static_cast<double>(op.columns);
      op.picked.data<T>()[r] -= static_cast<T>(own + rest) * global[r];
      T& factor = op.max.data<T>()[r];
      factor = std::exp(factor - global[r]);
      op.sum.data<T>()[r] *= factor;
    }
  });
}

void CpuKernels::run(Stream&, const ops::SoftmaxLoss& op) {
  by_type(op.sum.dtype(), [&]<class T>(T) {
    const auto* target = op.targets.data<std::int32_t>();
    double loss = 0;
    std::int64_t counted = 0;
    for (std::int64_t r = 0; r < op.sum.count(); ++r) {
      if (target[r] < 0) continue;
      ++counted;
      loss += std::log(static_cast<double>(op.sum.data<T>()[r])) -
              static_cast<double>(op.picked.data<T>()[r]);
    }
    *op.total.data<double>() += loss;
    *op.counted.data<double>() += static_cast<double>(counted);
  });
}

void CpuKernels::run(Stream&, const ops::SoftmaxGradient& op) {
  const double scale =
      op.scale_too.empty() ? op.scale : op.scale * *op.scale_too.data<double>();
  const View& exponentials = op.exponentials;
  by_type(exponentials.dtype(), [&]<class T>(T) {
    const auto* target = op.targets.data<std::int32_t>();
    const auto own = static_cast<T>(op.smoothing.own());
    const auto each = static_cast<T>(op.smoothing.each());
    parallel_for(exponentials.rows(), exponentials.cols(), 1,
                 [&](std::int64_t begin, std::int64_t end) {
                   Target<T> z(exponentials);
                   for (std::int64_t r = begin; r < end; ++r) {
                     const T weight = target[r] < 0 ? T{0} : static_cast<T>(scale);
                     const T f = weight * op.factor.data<T>()[r] / op.sum.data<T>()[r];
                     by_chunks(exponentials.cols(), [&](std::int64_t c, std::int64_t n) {
                       Row<T> part = z.loaded(r, c, n);
                       part *= f;
                       const std::int64_t at = target[r] - op.first_column - c;
                       if (each > 0) part -= weight * each;
                       if (at >= 0 && at < n) part[at] -= weight * own;
                       z.store();
                     });
                   }
                 });
  });
}

}  // namespace trireme::cpu
