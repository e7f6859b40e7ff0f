// SPDX-License-Identifier: Apache-2.0
// Sums, copies, dropout, and parameter updates.
#include <algorithm>
#include <cmath>

#include "kernels.hpp"
#include "parallel.hpp"
#include "philox_lanes.hpp"

namespace trireme::cpu {

void CpuKernels::add(Stream&, const ConstView& a, const ConstView& b, const View& y) {
  by_type(a.dtype(), [&]<class T>(T) {
    parallel_rows(y, [&](std::int64_t r) { row<T>(y, r) = row<T>(a, r) + row<T>(b, r); });
  });
}

void CpuKernels::copy(Stream&, const ConstView& x, const View& y) {
  by_type(x.dtype(), [&]<class T>(T) {
    parallel_rows(y, [&](std::int64_t r) { row<T>(y, r) = row<T>(x, r); });
  });
}

void CpuKernels::scale(Stream&, const View& x, double factor) {
  by_type(x.dtype(), [&]<class T>(T) {
    parallel_rows(x, [&](std::int64_t r) { row<T>(x, r) *= static_cast<T>(factor); });
  });
}

void CpuKernels::dropout(Stream&, const ConstView& x, const Dropout& spec, const ConstView& add,
                         const View& y) {
  by_type(x.dtype(), [&]<class T>(T) {
    const auto threshold = static_cast<std::uint32_t>(spec.probability * 0x1p32);
    const T keep = static_cast<T>(1 / (1 - spec.probability));
    parallel_rows(y, [&](std::int64_t r) {
      PhiloxLanes lanes;
      PhiloxLanes::Words words;
      constexpr std::int64_t kBlock = 4 * PhiloxLanes::kLanes;
      for (std::int64_t c = 0; c < y.cols(); c += kBlock) {
        for (std::int64_t l = 0; l < PhiloxLanes::kLanes; ++l) {
          lanes.set(l, spec.first_row + static_cast<std::uint64_t>(r),
                    static_cast<std::uint32_t>(c / 4 + l));
        }
        lanes.draw(spec.key, words);
        const std::int64_t n = std::min(kBlock, y.cols() - c);
        const T* in = row_data<T>(x, r) + c;
        const T* base = add.empty() ? nullptr : row_data<T>(add, r) + c;
        T* out = row_data<T>(y, r) + c;
        for (std::int64_t i = 0; i < n; ++i) {
          const T value = words[static_cast<std::size_t>(i)] >= threshold ? in[i] * keep : T{0};
          out[i] = base == nullptr ? value : base[i] + value;
        }
      }
    });
  });
}

void CpuKernels::accumulate_squares(Stream&, const ConstView& x, const View& total) {
  by_type(x.dtype(), [&]<class T>(T) {
    // Fixed blocks, summed in order: the same bits for any number of threads.
    constexpr std::int64_t kBlock = 4096;
    const std::int64_t per_row = (x.cols() + kBlock - 1) / kBlock;
    Eigen::ArrayXd sums(x.rows() * per_row);
    parallel_for(x.rows() * per_row, kBlock, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t c = i % per_row * kBlock;
        const T* part = row_data<T>(x, i / per_row) + c;
        const std::int64_t n = std::min(kBlock, x.cols() - c);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (std::int64_t j = 0; j < n; ++j) {
          sum += static_cast<double>(part[j]) * static_cast<double>(part[j]);
        }
        sums[i] = sum;
      }
    });
    *total.data<double>() += sums.sum();
  });
}

void CpuKernels::adamw(Stream&, const AdamwStep& step, const ConstView& gradient,
                       const View& value, const View& exp_avg, const View& exp_avg_sq) {
  by_type(value.dtype(), [&]<class T>(T) {
    const double t = static_cast<double>(step.step);
    const T decay = static_cast<T>(1 - step.lr * step.weight_decay);
    const T rate = static_cast<T>(step.lr / (1 - std::pow(step.beta1, t)));
    const T correction = static_cast<T>(1 / std::sqrt(1 - std::pow(step.beta2, t)));
    const T b1 = static_cast<T>(step.beta1);
    const T b2 = static_cast<T>(step.beta2);
    // Not 1 − b2 in T: that would be wrong by 1e-5 for b2 = 0.999.
    const T c1 = static_cast<T>(1 - step.beta1);
    const T c2 = static_cast<T>(1 - step.beta2);
    const T epsilon = static_cast<T>(step.epsilon);
    const T scale = static_cast<T>(step.gradient_scale);
    const T* grad = gradient.data<T>();
    T* theta = value.data<T>();
    T* first = exp_avg.data<T>();
    T* second = exp_avg_sq.data<T>();
    parallel_for(value.count(), 1, 16, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        const T g = grad[i] * scale;
        const T m = b1 * first[i] + c1 * g;
        const T v = b2 * second[i] + c2 * g * g;
        first[i] = m;
        second[i] = v;
        theta[i] = theta[i] * decay - rate * m / (std::sqrt(v) * correction + epsilon);
      }
    });
  });
}

void CpuKernels::sgd(Stream&, const SgdStep& step, const ConstView& gradient, const View& value,
                     const View& momentum) {
  by_type(value.dtype(), [&]<class T>(T) {
    const T lr = static_cast<T>(step.lr);
    const T mu = static_cast<T>(step.momentum);
    const T decay = static_cast<T>(step.weight_decay);
    const T scale = static_cast<T>(step.gradient_scale);
    const T* grad = gradient.data<T>();
    T* theta = value.data<T>();
    T* speed = step.momentum == 0 ? nullptr : momentum.data<T>();
    parallel_for(value.count(), 1, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        T d = grad[i] * scale + decay * theta[i];
        if (speed != nullptr) d = speed[i] = mu * speed[i] + d;
        theta[i] -= lr * d;
      }
    });
  });
}

std::int64_t CpuKernels::first_non_finite(Stream&, const ConstView& x) {
  std::int64_t found = -1;
  by_type(x.dtype(), [&]<class T>(T) {
    for (std::int64_t r = 0; r < x.rows() && found < 0; ++r) {
      const T* values = row_data<T>(x, r);
      constexpr std::int64_t kBlock = 4096;
      for (std::int64_t c = 0; c < x.cols() && found < 0; c += kBlock) {
        const std::int64_t end = std::min(c + kBlock, x.cols());
        T probe{0};  // 0 · x is NaN where x is inf or NaN
#pragma omp simd reduction(+ : probe)
        for (std::int64_t i = c; i < end; ++i) probe += values[i] * T{0};
        if (probe == T{0}) continue;
        const T* bad =
            std::find_if(values + c, values + end, [](T v) { return !std::isfinite(v); });
        found = r * x.cols() + (bad - values);
      }
    }
  });
  return found;
}

}  // namespace trireme::cpu
