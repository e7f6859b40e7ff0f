// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm, a row at a time; weight gradients by columns.
#include "kernels.hpp"
#include "parallel.hpp"

namespace trireme::cpu {

void CpuKernels::norm_forward(Stream&, Norm kind, double epsilon, const ConstView& x,
                              const ConstView& weight, const ConstView& bias, const View& y,
                              const View& statistics) {
  check_type(statistics, x.dtype());
  by_type(x.dtype(), [&]<class T>(T) {
    const ConstRow<T> w(weight.data<T>(), x.cols());
    const T n = static_cast<T>(x.cols());
    parallel_rows(x, [&](std::int64_t r) {
      const ConstRow<T> in = row<T>(x, r);
      const T mean = kind == Norm::layernorm ? in.sum() / n : T{0};
      const T variance = (in - mean).square().sum() / n;
      const T rstd = T{1} / std::sqrt(variance + static_cast<T>(epsilon));
      Row<T> out = row<T>(y, r);
      if (bias.empty()) {
        out = (in - mean) * rstd * w;
      } else {
        out = (in - mean) * rstd * w + ConstRow<T>(bias.data<T>(), x.cols());
      }
      T* kept = row_data<T>(statistics, r);
      kept[0] = mean;
      kept[1] = rstd;
    });
  });
}

void CpuKernels::norm_backward(Stream&, Norm kind, const ConstView& dy, const ConstView& x,
                               const ConstView& weight, const ConstView& statistics,
                               const ConstView& add, const View& dx, const View& dweight,
                               const View& dbias) {
  check_type(statistics, x.dtype());
  check_type(dweight, x.dtype());
  by_type(x.dtype(), [&]<class T>(T) {
    const ConstRow<T> w(weight.data<T>(), x.cols());
    const T n = static_cast<T>(x.cols());
    // Weights first: dx may share its memory with x's only reader, `add`, but never with x or
    // dy.
    parallel_for(x.cols(), x.rows(), 16, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t width = end - begin;
      Row<T> dw(dweight.data<T>() + begin, width);
      for (std::int64_t r = 0; r < x.rows(); ++r) {
        const T* kept = row_data<T>(statistics, r);
        const ConstRow<T> g(row_data<T>(dy, r) + begin, width);
        dw += g * (ConstRow<T>(row_data<T>(x, r) + begin, width) - kept[0]) * kept[1];
        if (!dbias.empty()) Row<T>(dbias.data<T>() + begin, width) += g;
      }
    });
    parallel_rows(x, [&](std::int64_t r) {
      const T* kept = row_data<T>(statistics, r);
      const T mean = kept[0];
      const T rstd = kept[1];
      const ConstRow<T> in = row<T>(x, r);
      const ConstRow<T> g = row<T>(dy, r);
      const T a = kind == Norm::layernorm ? (g * w).sum() / n : T{0};
      const T b = (g * w * (in - mean)).sum() * rstd / n;
      Row<T> out = row<T>(dx, r);
      if (add.empty()) {
        out = (g * w - a - (in - mean) * (rstd * b)) * rstd;
      } else {
        out = row<T>(add, r) + (g * w - a - (in - mean) * (rstd * b)) * rstd;
      }
    });
  });
}

}  // namespace trireme::cpu
