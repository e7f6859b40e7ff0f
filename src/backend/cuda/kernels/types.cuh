// SPDX-License-Identifier: Apache-2.0
// Element types in kernels: conversions between storage types and fp32, and the choice of a
// template instance by DType.
#pragma once

#include <cstdint>

#include "trireme/core/dtype.hpp"
#include "trireme/core/error.hpp"

#include "simt.cuh"

namespace trireme::cuda {

using bf16 = __nv_bfloat16;
using f16 = __half;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float to_float(f16 x) { return __half2float(x); }

/// Rounds to nearest even; fp16 overflows to inf.
template <class T>
__device__ __forceinline__ T from_float(float x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return __float2bfloat16_rn(x);
  } else if constexpr (std::is_same_v<T, f16>) {
    return __float2half_rn(x);
  } else {
    return x;
  }
}

/// N elements that are loaded and stored at once.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};

template <class T>
struct TypeTag {
  using type = T;
};

/// Calls f(TypeTag<T>) for the storage type T of `type`: float, bf16 or f16.
template <class F>
decltype(auto) with_type(DType type, F&& f) {
  switch (type) {
    case DType::f32:
      return f(TypeTag<float>());
    case DType::bf16:
      return f(TypeTag<bf16>());
    case DType::f16:
      return f(TypeTag<f16>());
    default:
      throw Error(fmt::format("the CUDA backend does not compute in {}", name_of(type)));
  }
}

}  // namespace trireme::cuda
