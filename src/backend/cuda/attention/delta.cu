// SPDX-License-Identifier: Apache-2.0
// Computes Σ dO·O of each query and head, which all its scores' gradients need.
#include "place.cuh"

namespace trireme::cuda {

namespace {

constexpr int kDeltaThreads = 256;
constexpr int kQueriesAtOnce = 4;  // queries per thread, whose loads are in flight together

/// Adjacent lanes share a query, with 8 elements (or 1) each. A thread block has kQueriesAtOnce
/// · kDeltaThreads / Lanes queries of one head. Reads dO and O once.
template <class T, int Lanes, int Width>
__global__ void __launch_bounds__(kDeltaThreads) delta_kernel(const AttentionArgs a) {
  const std::int64_t heads = a.groups * a.queries_per_kv;
  const std::int64_t local = blockIdx.x % heads;
  const std::int64_t head = a.first_group * a.queries_per_kv + local;
  const GroupPlace place = place_of_group(a, head / a.queries_per_kv);
  const std::int64_t column =
      (static_cast<std::int64_t>(place.kv_head) * a.queries_per_kv + head % a.queries_per_kv) *
      a.head_dim;
  const int lane = static_cast<int>(threadIdx.x) % Lanes;
  constexpr int kAtOnce = kDeltaThreads / Lanes;
  const int first = static_cast<int>(blockIdx.x / heads) * kAtOnce * kQueriesAtOnce +
                    static_cast<int>(threadIdx.x) / Lanes;
  float sum[kQueriesAtOnce] = {};
  for (int at = lane * Width; at < a.head_dim; at += Lanes * Width) {
#pragma unroll
    for (int i = 0; i < kQueriesAtOnce; ++i) {
      const int query = first + i * kAtOnce;
      if (query >= a.seq) continue;
      const std::int64_t row = place.row + query;
      const auto x = *reinterpret_cast<const Pack<T, Width>*>(
          static_cast<const T*>(a.dout) + row * a.dout_stride + column + at);
      const auto y = *reinterpret_cast<const Pack<T, Width>*>(static_cast<const T*>(a.out) +
                                                              row * a.out_stride + column + at);
#pragma unroll
      for (int e = 0; e < Width; ++e) {
        sum[i] = fmaf(to_float(x.at[e]), to_float(y.at[e]), sum[i]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kQueriesAtOnce; ++i) {
#pragma unroll
    for (int other = Lanes / 2; other > 0; other /= 2) {
      sum[i] += __shfl_xor_sync(0xffffffffU, sum[i], other);
    }
    const int query = first + i * kAtOnce;
    if (lane == 0 && query < a.seq) a.delta[local * a.seq + query] = sum[i];
  }
}

template <class T, int Lanes, int Width>
void launch_delta(cudaStream_t stream, const AttentionArgs& a) {
  constexpr int kQueries = kDeltaThreads / Lanes * kQueriesAtOnce;
  const std::int64_t blocks = a.groups * a.queries_per_kv * ((a.seq + kQueries - 1) / kQueries);
  launch(delta_kernel<T, Lanes, Width>, dim3(static_cast<unsigned>(blocks)),
         dim3(kDeltaThreads), 0, stream, a);
}

}  // namespace

void attention_delta(cudaStream_t stream, DType type, const AttentionArgs& a, bool vectors) {
  with_type(type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int kWidth = 16 / sizeof(T);
    if (!vectors) {
      launch_delta<T, 32, 1>(stream, a);
    } else if (a.head_dim <= 8 * kWidth) {
      launch_delta<T, 8, kWidth>(stream, a);
    } else if (a.head_dim <= 16 * kWidth) {
      launch_delta<T, 16, kWidth>(stream, a);
    } else {
      launch_delta<T, 32, kWidth>(stream, a);
    }
  });
}

}  // namespace trireme::cuda
