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

/// y = f(x), with 2 elements of T per element.
template <class T, class F>
struct Each {
  Matrix<const T> x;
  Matrix<T> y;
  F f;
  template <int N>
  __device__ Pack<T, N> load(std::int64_t r, std::int64_t c) const {
    return cuda::load<N>(x.at(r, c));
  }
  template <int N>
  __device__ void store(const Pack<T, N>& in, std::int64_t r, std::int64_t c) const {
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out.at[j] = from_float<T>(f(to_float(in.at[j])));
    cuda::store(y.at(r, c), out);
  }
};
struct Times {
  float factor;
  __device__ float operator()(float x) const { return factor * x; }
};
struct Cap {
  float cap;
  __device__ float operator()(float x) const { return cap * tanhf(x / cap); }
};

/// Minimum traffic: 3 elements of T per element.
template <class T>
struct CapGradient {
  Matrix<const T> capped;
  Matrix<const T> dy;
  Matrix<T> dx;
  float cap;
  template <int N>
  __device__ Two<T, N> load(std::int64_t r, std::int64_t c) const {
    return {cuda::load<N>(capped.at(r, c)), cuda::load<N>(dy.at(r, c))};
  }
  template <int N>
  __device__ void store(const Two<T, N>& in, std::int64_t r, std::int64_t c) const {
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float t = to_float(in.a.at[j]) / cap;
      out.at[j] = from_float<T>(to_float(in.b.at[j]) * (1.0F - t * t));
    }
    cuda::store(dx.at(r, c), out);
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

void CudaKernels::run(Stream& s, const ops::Add& op) {
  with_type(op.y.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    for_each<N>(native(s), {op.y, op.a, op.b},
                Add<T>{matrix<T>(op.a), matrix<T>(op.b), matrix<T>(op.y)});
  });
}

void CudaKernels::run(Stream& s, const ops::Cast& op) {
  if (op.x.dtype() == op.y.dtype()) return run(s, ops::Copy{.x = op.x, .y = op.y});
  with_type(op.x.dtype(), [&]<class From>(TypeTag<From>) {
    with_type(op.y.dtype(), [&]<class To>(TypeTag<To>) {
      constexpr int N = kVector<From, To>;
      for_each<N>(native(s), {op.y, op.x},
                  Cast<From, To>{matrix<From>(op.x), matrix<To>(op.y)});
    });
  });
}

void CudaKernels::run(Stream& s, const ops::Accumulate& op) {
  const auto queue = [&]<class From, class To>(TypeTag<From>, TypeTag<To>) {
    constexpr int N = kVector<From, To>;
    for_each<N>(native(s), {op.y, op.x},
                Accumulate<From, To>{matrix<From>(op.x), matrix<To>(op.y)});
  };
  if (op.y.dtype() == DType::f64) return queue(TypeTag<double>(), TypeTag<double>());
  with_type(op.x.dtype(),
            [&](auto from) { with_type(op.y.dtype(), [&](auto to) { queue(from, to); }); });
}

void CudaKernels::run(Stream& s, const ops::Copy& op) {
  if (op.y.count() == 0) return;
  if (op.x.contiguous() && op.y.contiguous()) {
    TRM_CUDA(cudaMemcpyAsync(op.y.raw(), op.x.raw(), op.y.bytes(), cudaMemcpyDeviceToDevice,
                             native(s)));
    return;
  }
  switch (size_of(op.y.dtype())) {
    case 1:
      return copy_as<std::uint8_t>(native(s), op.x, op.y);
    case 2:
      return copy_as<std::uint16_t>(native(s), op.x, op.y);
    case 4:
      return copy_as<std::uint32_t>(native(s), op.x, op.y);
    default:
      return copy_as<std::uint64_t>(native(s), op.x, op.y);
  }
}

void CudaKernels::run(Stream& s, const ops::Scale& op) {
  with_type(op.y.dtype(), [&]<class T>(TypeTag<T>) {
    for_each<kVector<T>>(
        native(s), {op.y, op.x},
        Each<T, Times>{matrix<T>(op.x), matrix<T>(op.y), {static_cast<float>(op.factor)}});
  });
}

void CudaKernels::run(Stream& s, const ops::Softcap& op) {
  with_type(op.y.dtype(), [&]<class T>(TypeTag<T>) {
    for_each<kVector<T>>(
        native(s), {op.y, op.x},
        Each<T, Cap>{matrix<T>(op.x), matrix<T>(op.y), {static_cast<float>(op.cap)}});
  });
}

void CudaKernels::run(Stream& s, const ops::SoftcapGradient& op) {
  with_type(op.y.dtype(), [&]<class T>(TypeTag<T>) {
    for_each<kVector<T>>(native(s), {op.dx, op.y, op.dy},
                         CapGradient<T>{matrix<T>(op.y), matrix<T>(op.dy), matrix<T>(op.dx),
                                        static_cast<float>(op.cap)});
  });
}

void CudaKernels::run(Stream& s, const ops::ApplyDropout& op) {
  with_type(op.y.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    for_each<N>(
        native(s), extent_of({op.y, op.x, op.add}, false), vectors_fit({op.y, op.x, op.add}, N),
        Drop<T>{matrix<T>(op.x), matrix<T>(op.add), matrix<T>(op.y), mask_of(op.dropout)});
  });
}

}  // namespace trireme::cuda
