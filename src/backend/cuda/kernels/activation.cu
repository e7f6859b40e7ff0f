// SPDX-License-Identifier: Apache-2.0
// Activations and their gradients. For half-precision arrays, the GPU's fast exponential and
// quotient are exact enough: their errors are far below rounding. fp32 arrays need precise
// functions.
#include "../runtime/stream.hpp"
#include "each.cuh"
#include "kernels.hpp"

namespace trireme::cuda {

namespace {

struct Curve {
  float value;
  float slope;
};

/// Arithmetic with the precision that a storage type T needs.
template <class T>
struct Precise {
  __device__ __forceinline__ static float exp(float x) { return expf(x); }
  __device__ __forceinline__ static float inverse(float x) { return 1.0F / x; }
  /// (1 + erf(x / √2)) / 2; `gauss` is exp(−x² / 2).
  __device__ __forceinline__ static float normal_cdf(float x, float /*gauss*/) {
    return 0.5F * (1.0F + erff(x * 0.707106781F));
  }
};
struct Fast {
  __device__ __forceinline__ static float exp(float x) { return __expf(x); }
  __device__ __forceinline__ static float inverse(float x) { return __fdividef(1.0F, x); }
  /// Abramowitz and Stegun 7.1.26: to 1.5e-7.
  __device__ __forceinline__ static float normal_cdf(float x, float gauss) {
    const float t = inverse(fmaf(fabsf(x), 0.3275911F * 0.707106781F, 1.0F));
    float p = fmaf(t, 1.061405429F, -1.453152027F);
    p = fmaf(t, p, 1.421413741F);
    p = fmaf(t, p, -0.284496736F);
    p = fmaf(t, p, 0.254829592F);
    const float upper = 0.5F * p * t * gauss;
    return x < 0 ? upper : 1.0F - upper;
  }
};
template <>
struct Precise<bf16> : Fast {};
template <>
struct Precise<f16> : Fast {};

/// The gate's activation of a gated kind.
constexpr Activation gate_of(Activation kind) {
  switch (kind) {
    case Activation::swiglu:
      return Activation::silu;
    case Activation::geglu:
      return Activation::gelu;
    case Activation::geglu_tanh:
      return Activation::gelu_tanh;
    case Activation::reglu:
      return Activation::relu;
    default:
      return kind;
  }
}

template <class P, Activation kKind>
__device__ __forceinline__ Curve curve(float x) {
  if constexpr (kKind == Activation::gelu) {
    const float gauss = P::exp(-0.5F * x * x);
    const float cdf = P::normal_cdf(x, gauss);
    return {x * cdf, fmaf(x * 0.398942280F, gauss, cdf)};
  } else if constexpr (kKind == Activation::gelu_tanh) {
    // (1 + tanh u) / 2 = 1 / (1 + exp(−2u)). This form keeps its digits for tanh near −1.
    constexpr float k = 0.797884561F;
    constexpr float c = 0.044715F;
    const float square = x * x;
    const float u = k * x * fmaf(c, square, 1.0F);
    const float cdf = P::inverse(1.0F + P::exp(-2.0F * u));
    const float slope_of_u = k * fmaf(3.0F * c, square, 1.0F);
    return {x * cdf, fmaf(2.0F * x * cdf * (1.0F - cdf), slope_of_u, cdf)};
  } else if constexpr (kKind == Activation::relu) {
    return {x < 0 ? 0.0F : x, x > 0 ? 1.0F : 0.0F};  // NaN stays NaN
  } else {
    const float sigmoid = P::inverse(1.0F + P::exp(-x));
    return {x * sigmoid, sigmoid * fmaf(x, 1.0F - sigmoid, 1.0F)};
  }
}

/// Minimum traffic: 2 elements of T per result, 3 if gated.
template <class T, Activation kKind>
struct Forward {
  static constexpr bool kGated = gated(kKind);
  Matrix<const T> x;
  Matrix<const T> up;
  Matrix<T> y;
  template <int N>
  struct Held {
    Pack<T, N> x;
    Pack<T, kGated ? N : 1> up;
  };
  template <int N>
  __device__ Held<N> load(std::int64_t r, std::int64_t c) const {
    Held<N> held;
    held.x = cuda::load<N>(x.at(r, c));
    if constexpr (kGated) held.up = cuda::load<N>(up.at(r, c));
    return held;
  }
  template <int N>
  __device__ void store(const Held<N>& in, std::int64_t r, std::int64_t c) const {
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      float value = curve<Precise<T>, gate_of(kKind)>(to_float(in.x.at[j])).value;
      if constexpr (kGated) value *= to_float(in.up.at[j]);
      out.at[j] = from_float<T>(value);
    }
    cuda::store(y.at(r, c), out);
  }
};

/// Minimum traffic: 3 elements of T per element of dy, 5 if gated. dx may be x or dy.
template <class T, Activation kKind>
struct Backward {
  static constexpr bool kGated = gated(kKind);
  Matrix<const T> x;
  Matrix<const T> up;
  Matrix<const T> dy;
  Matrix<T> dx;
  Matrix<T> dup;
  template <int N>
  struct Held {
    Pack<T, N> x;
    Pack<T, N> dy;
    Pack<T, kGated ? N : 1> up;
  };
  template <int N>
  __device__ Held<N> load(std::int64_t r, std::int64_t c) const {
    Held<N> held;
    held.x = cuda::load<N>(x.at(r, c));
    held.dy = cuda::load<N>(dy.at(r, c));
    if constexpr (kGated) held.up = cuda::load<N>(up.at(r, c));
    return held;
  }
  template <int N>
  __device__ void store(const Held<N>& in, std::int64_t r, std::int64_t c) const {
    Pack<T, N> out;
    [[maybe_unused]] Pack<T, N> out_up;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const Curve at = curve<Precise<T>, gate_of(kKind)>(to_float(in.x.at[j]));
      const float g = to_float(in.dy.at[j]);
      if constexpr (kGated) {
        out.at[j] = from_float<T>(g * at.slope * to_float(in.up.at[j]));
        out_up.at[j] = from_float<T>(g * at.value);
      } else {
        out.at[j] = from_float<T>(g * at.slope);
      }
    }
    cuda::store(dx.at(r, c), out);
    if constexpr (kGated) cuda::store(dup.at(r, c), out_up);
  }
};

template <Activation kKind>
struct KindTag {};

/// Calls f(KindTag<kind>()).
template <class F>
void with_kind(Activation kind, F&& f) {
  switch (kind) {
    case Activation::gelu:
      return f(KindTag<Activation::gelu>());
    case Activation::gelu_tanh:
      return f(KindTag<Activation::gelu_tanh>());
    case Activation::relu:
      return f(KindTag<Activation::relu>());
    case Activation::silu:
      return f(KindTag<Activation::silu>());
    case Activation::swiglu:
      return f(KindTag<Activation::swiglu>());
    case Activation::geglu:
      return f(KindTag<Activation::geglu>());
    case Activation::reglu:
      return f(KindTag<Activation::reglu>());
    case Activation::geglu_tanh:
      return f(KindTag<Activation::geglu_tanh>());
  }
}

/// The second half of the columns for gated kinds, else an empty view.
template <class V>
V up_of(Activation kind, const V& x) {
  return gated(kind) ? x.slice_cols(x.cols() / 2, x.cols() / 2) : V();
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::ActivationForward& op) {
  const ConstView up = up_of(op.kind, op.x);
  with_type(op.y.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    const Extent extent = extent_of({op.y, op.x}, !gated(op.kind));
    with_kind(op.kind, [&]<Activation kKind>(KindTag<kKind>) {
      for_each<N>(native(s), extent, vectors_fit({op.y, op.x, up}, N, extent.rows == 1),
                  Forward<T, kKind>{matrix<T>(op.x), matrix<T>(up), matrix<T>(op.y)});
    });
  });
}

void CudaKernels::run(Stream& s, const ops::ActivationBackward& op) {
  const ConstView up = up_of(op.kind, op.x);
  const View dup = up_of(op.kind, op.dx);
  with_type(op.dy.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    const Extent extent = extent_of({op.dy, op.x, op.dx}, !gated(op.kind));
    with_kind(op.kind, [&]<Activation kKind>(KindTag<kKind>) {
      for_each<N>(native(s), extent,
                  vectors_fit({op.dy, op.x, op.dx, up, dup}, N, extent.rows == 1),
                  Backward<T, kKind>{matrix<T>(op.x), matrix<T>(up), matrix<T>(op.dy),
                                     matrix<T>(op.dx), matrix<T>(dup)});
    });
  });
}

}  // namespace trireme::cuda
