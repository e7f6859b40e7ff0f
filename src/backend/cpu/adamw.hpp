// SPDX-License-Identifier: Apache-2.0
// AdamW's arithmetic on arrays in T, the type used to compute.
#pragma once

#include <cmath>
#include <cstdint>

#include "trireme/ops/types.hpp"

namespace trireme::cpu {

template <class T>
struct Adamw {
  Adamw(const AdamwStep& s, double bias1, double bias2)
      : decay(static_cast<T>(s.l2 ? 1 : 1 - s.lr * s.weight_decay)),
        l2(static_cast<T>(s.l2 ? s.weight_decay : 0)),
        rate(static_cast<T>(s.lr / bias1)),
        correction(static_cast<T>(1 / std::sqrt(bias2))),
        b1(static_cast<T>(s.beta1)),
        b2(static_cast<T>(s.beta2)),
        c1(static_cast<T>(1 - s.beta1)),
        c2(static_cast<T>(1 - s.beta2)),
        epsilon(static_cast<T>(s.epsilon)),
        scale(static_cast<T>(s.gradient_scale)) {}

  void apply(std::int64_t n, const T* gradient, T* value, T* first, T* second) const {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const T g = gradient[i] * scale + l2 * value[i];
      const T m = b1 * first[i] + c1 * g;
      const T v = b2 * second[i] + c2 * g * g;
      first[i] = m;
      second[i] = v;
      value[i] = value[i] * decay - rate * m / (std::sqrt(v) * correction + epsilon);
    }
  }

  T decay, l2, rate, correction, b1, b2;
  T c1, c2;  // 1 − b2 computed in T would be wrong by 1e-5 for b2 = 0.999
  T epsilon, scale;
};

}  // namespace trireme::cpu
