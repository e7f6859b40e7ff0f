// SPDX-License-Identifier: Apache-2.0
// The thread that writes an element reads all its addends, which allows `to` to be one of the
// addends.
#include "../kernels/each.cuh"
#include "rank_sum.hpp"

namespace trireme::cuda {

namespace {

template <class From>
__device__ __forceinline__ const From* addend(const RankAddends& a, int rank) {
  if (rank == a.own) return static_cast<const From*>(a.mine);
  const int place = rank > a.own ? rank - 1 : rank;
  return reinterpret_cast<const From*>(a.others + static_cast<std::size_t>(place) * a.apart);
}

template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
__device__ __forceinline__ Wide<T> widen(T x) {
  if constexpr (std::is_same_v<T, double>) {
    return x;
  } else {
    return to_float(x);
  }
}

template <class To, class A>
__device__ __forceinline__ To rounded(A x) {
  if constexpr (std::is_same_v<To, double> || std::is_same_v<To, float>) {
    return static_cast<To>(x);
  } else {
    return from_float<To>(x);
  }
}

template <class From, class To, int N>
__device__ __forceinline__ void sum_vector(const RankAddends& addends, To* to, bool accumulate,
                                           std::int64_t at) {
  Wide<From> sum[N];
#pragma unroll 4
  for (int r = 0; r < addends.ranks; ++r) {
    const Pack<From, N> in = load<N>(addend<From>(addends, r) + at);
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = r == 0 ? widen(in.at[j]) : sum[j] + widen(in.at[j]);
  }
  Pack<To, N> out;
  if (accumulate) {
    using Both = std::common_type_t<Wide<From>, Wide<To>>;
    const Pack<To, N> before = load<N>(to + at);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      out.at[j] = rounded<To>(Both{widen(before.at[j])} + Both{sum[j]});
    }
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) out.at[j] = rounded<To>(sum[j]);
  }
  store(to + at, out);
}

/// Memory traffic: reads each addend once and writes `to` once; accumulating also reads `to`.
template <class From, class To, int N>
__global__ void __launch_bounds__(kEachThreads)
    rank_sum_kernel(const RankAddends addends, To* to, std::int64_t n, bool accumulate) {
  const std::int64_t at =
      (static_cast<std::int64_t>(blockIdx.x) * kEachThreads + threadIdx.x) * N;
  if (at + N <= n) return sum_vector<From, To, N>(addends, to, accumulate, at);
  for (std::int64_t i = at; i < n; ++i) {
    sum_vector<From, To, 1>(addends, to, accumulate, i);
  }
}

template <class From, class To>
void run(cudaStream_t stream, const RankAddends& addends, const View& to, bool accumulate) {
  constexpr int N = kVector<From, To>;
  const std::int64_t n = to.count();
  const auto rest = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p); };
  // An absent array has address null and stride 0.
  const bool vectors =
      rest(to.raw()) % (N * sizeof(To)) == 0 &&
      (rest(addends.mine) | rest(addends.others) | addends.apart) % (N * sizeof(From)) == 0;
  const std::int64_t per_block = kEachThreads * (vectors ? N : 1);
  const dim3 grid(static_cast<unsigned>((n + per_block - 1) / per_block));
  auto* const out = static_cast<To*>(to.raw());
  if (vectors) {
    launch(rank_sum_kernel<From, To, N>, grid, dim3(kEachThreads), 0, stream, addends, out, n,
           accumulate);
  } else {
    launch(rank_sum_kernel<From, To, 1>, grid, dim3(kEachThreads), 0, stream, addends, out, n,
           accumulate);
  }
}

}  // namespace

void sum_in_rank_order(cudaStream_t stream, const RankAddends& addends, DType from,
                       const View& to, bool accumulate) {
  TRM_CHECK(addends.ranks > 0, "a sum over {} ranks", addends.ranks);
  if (to.count() == 0) return;
  if (from == DType::f64) {
    TRM_CHECK(to.dtype() == DType::f64 || to.dtype() == DType::f32, "sums of fp64 into {}",
              name_of(to.dtype()));
    if (to.dtype() == DType::f64) return run<double, double>(stream, addends, to, accumulate);
    return run<double, float>(stream, addends, to, accumulate);
  }
  with_type(from, [&]<class From>(TypeTag<From>) {
    if (to.dtype() == DType::f64) return run<From, double>(stream, addends, to, accumulate);
    with_type(to.dtype(),
              [&]<class To>(TypeTag<To>) { run<From, To>(stream, addends, to, accumulate); });
  });
}

}  // namespace trireme::cuda
