// SPDX-License-Identifier: Apache-2.0
// Arrays that updates read and write, in a type that the compiler or only the program knows.
#pragma once

#include "each.cuh"

namespace trireme::cuda {

/// An array whose type is known to the compiler (Array) or only at run time (AnyArray).
template <class T>
struct Array {
  T* data = nullptr;
  template <int N>
  __device__ __forceinline__ void read(std::int64_t at, float (&to)[N]) const {
    const Pack<T, N> in = load<N>(data + at);
#pragma unroll
    for (int j = 0; j < N; ++j) to[j] = to_float(in.at[j]);
  }
  template <int N>
  __device__ __forceinline__ void write(std::int64_t at, const float (&from)[N]) const {
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out.at[j] = from_float<T>(from[j]);
    store(data + at, out);
  }
};
struct AnyArray {
  void* data = nullptr;
  DType type = DType::f32;
  template <class F>
  __device__ __forceinline__ void with(F&& f) const {
    if (type == DType::f32) {
      f(Array<float>{static_cast<float*>(data)});
    } else if (type == DType::bf16) {
      f(Array<bf16>{static_cast<bf16*>(data)});
    } else {
      f(Array<f16>{static_cast<f16*>(data)});
    }
  }
  template <int N>
  __device__ __forceinline__ void read(std::int64_t at, float (&to)[N]) const {
    with([&](const auto& array) { array.read(at, to); });
  }
  template <int N>
  __device__ __forceinline__ void write(std::int64_t at, const float (&from)[N]) const {
    with([&](const auto& array) { array.write(at, from); });
  }
};

inline AnyArray any(const ConstView& v) { return {const_cast<void*>(v.raw()), v.dtype()}; }

}  // namespace trireme::cuda
