// SPDX-License-Identifier: Apache-2.0
// Sums, copies, casts and dropout. Each array is read once and written once.
#include "../runtime/stream.hpp"
#include "each.cuh"
#include "kernels.hpp"
#include "philox.cuh"

namespace trireme::cuda {

namespace {

template <class T, int N>
struct Two {
  Pack<T, N> a;
  Pack<T, N> b;
};

/// Minimum traffic: 3 elements of T per element.
template <class T>
struct Add {
  Matrix<const T> a;
  Matrix<const T> b;
  Matrix<T> y;
  template <int N>
  __device__ Two<T, N> load(std::int64_t r, std::int64_t c) const {
    return {cuda::load<N>(a.at(r, c)), cuda::load<N>(b.at(r, c))};
  }
  template <int N>
  __device__ void store(const Two<T, N>& in, std::int64_t r, std::int64_t c) const {
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      out.at[j] = from_float<T>(to_float(in.a.at[j]) + to_float(in.b.at[j]));
    }
    cuda::store(y.at(r, c), out);
  }
};

/// Minimum traffic: one element of each type per element.
template <class From, class To>
struct Cast {
  Matrix<const From> x;
  Matrix<To> y;
  template <int N>
  __device__ Pack<From, N> load(std::int64_t r, std::int64_t c) const {
    return cuda::load<N>(x.at(r, c));
  }
  template <int N>
  __device__ void store(const Pack<From, N>& in, std::int64_t r, std::int64_t c) const {
    Pack<To, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out.at[j] = from_float<To>(to_float(in.at[j]));
    cuda::store(y.at(r, c), out);
  }
};

/// Minimum traffic: x once, y twice.
template <class From, class To>
struct Accumulate {
  Matrix<const From> x;
  Matrix<To> y;
  template <int N>
  struct Held {
    Pack<From, N> x;
    Pack<To, N> y;
  };
  template <int N>
  __device__ Held<N> load(std::int64_t r, std::int64_t c) const {
    return {cuda::load<N>(x.at(r, c)), cuda::load<N>(y.at(r, c))};
  }
  template <int N>
  __device__ void store(const Held<N>& in, std::int64_t r, std::int64_t c) const {
    Pack<To, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if constexpr (std::is_same_v<To, double>) {
        out.at[j] = in.y.at[j] + in.x.at[j];
      } else {
        out.at[j] = from_float<To>(to_float(in.y.at[j]) + to_float(in.x.at[j]));
      }
    }
    cuda::store(y.at(r, c), out);
  }
};

/// Copies bits of any type of this size.
template <class T>
struct Copy {
  Matrix<const T> x;
  Matrix<T> y;
  template <int N>
  __device__ Pack<T, N> load(std::int64_t r, std::int64_t c) const {
    return cuda::load<N>(x.at(r, c));
  }
  template <int N>
  __device__ void store(const Pack<T, N>& in, std::int64_t r, std::int64_t c) const {
    cuda::store(y.at(r, c), in);
  }
};

/// Minimum traffic: 2 elements of T per element, 3 with `add`.
template <class T>
struct Drop {
  Matrix<const T> x;
  Matrix<const T> add;  // null if there is none
  Matrix<T> y;
  Mask mask;
  template <int N>
  __device__ Two<T, N> load(std::int64_t r, std::int64_t c) const {
    Two<T, N> held;
    held.a = cuda::load<N>(x.at(r, c));
    if (add.data != nullptr) {
      held.b = cuda::load<N>(add.at(r, c));
    } else {
#pragma unroll
      for (int j = 0; j < N; ++j) held.b.at[j] = from_float<T>(0);
    }
    return held;
  }
  template <int N>
  __device__ void store(const Two<T, N>& in, std::int64_t r, std::int64_t c) const {
    float value[N];
    float base[N];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      value[j] = to_float(in.a.at[j]);
      base[j] = to_float(in.b.at[j]);
    }
    add_dropped(mask, r, c, value, base, value);
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out.at[j] = from_float<T>(value[j]);
    cuda::store(y.at(r, c), out);
  }
};

template <class T>
void copy_as(cudaStream_t stream, const ConstView& x, const View& y) {
  constexpr int N = kVector<T>;
  for_each<N>(stream, {x, y}, Copy<T>{matrix<T>(x), matrix<T>(y)});
}

}  // namespace

void CudaKernels::add(Stream& s, const ConstView& a, const ConstView& b, const View& y) {
  with_type(y.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    for_each<N>(native(s), {y, a, b}, Add<T>{matrix<T>(a), matrix<T>(b), matrix<T>(y)});
  });
}

void CudaKernels::cast(Stream& s, const ConstView& x, const View& y) {
  if (x.dtype() == y.dtype()) return copy(s, x, y);
  with_type(x.dtype(), [&]<class From>(TypeTag<From>) {
    with_type(y.dtype(), [&]<class To>(TypeTag<To>) {
      constexpr int N = kVector<From, To>;
      for_each<N>(native(s), {y, x}, Cast<From, To>{matrix<From>(x), matrix<To>(y)});
    });
  });
}

void CudaKernels::accumulate(Stream& s, const ConstView& x, const View& y) {
  const auto run = [&]<class From, class To>(TypeTag<From>, TypeTag<To>) {
    constexpr int N = kVector<From, To>;
    for_each<N>(native(s), {y, x}, Accumulate<From, To>{matrix<From>(x), matrix<To>(y)});
  };
  if (y.dtype() == DType::f64) return run(TypeTag<double>(), TypeTag<double>());
  with_type(x.dtype(),
            [&](auto from) { with_type(y.dtype(), [&](auto to) { run(from, to); }); });
}

void CudaKernels::copy(Stream& s, const ConstView& x, const View& y) {
  if (y.count() == 0) return;
  if (x.contiguous() && y.contiguous()) {
    TRM_CUDA(cudaMemcpyAsync(y.raw(), x.raw(), y.bytes(), cudaMemcpyDeviceToDevice, native(s)));
    return;
  }
  switch (size_of(y.dtype())) {
    case 1:
      return copy_as<std::uint8_t>(native(s), x, y);
    case 2:
      return copy_as<std::uint16_t>(native(s), x, y);
    case 4:
      return copy_as<std::uint32_t>(native(s), x, y);
    default:
      return copy_as<std::uint64_t>(native(s), x, y);
  }
}

void CudaKernels::dropout(Stream& s, const ConstView& x, const Dropout& spec,
                          const ConstView& add, const View& y) {
  with_type(y.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    for_each<N>(native(s), extent_of({y, x, add}, false), vectors_fit({y, x, add}, N),
                Drop<T>{matrix<T>(x), matrix<T>(add), matrix<T>(y), mask_of(spec)});
  });
}

}  // namespace trireme::cuda
