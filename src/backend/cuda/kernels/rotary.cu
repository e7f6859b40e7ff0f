// SPDX-License-Identifier: Apache-2.0
// Rotary embedding of q and k in place. A thread holds its angles in registers and rotates a
// few heads.
#include "../runtime/stream.hpp"
#include "each.cuh"
#include "kernels.hpp"

namespace trireme::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kHeads = 4;  ///< heads per thread, all read before one is written

template <class T>
struct Rotary {
  Matrix<T> qkv;
  Matrix<const float> table;
  const std::int32_t* positions;  // null: the row's place in its sequence
  std::int64_t rows;
  std::int64_t seq;
  int half;          // half of the entries that rotate
  int turned;        // heads of a row that rotate: queries and keys
  int turned_group;  // heads that rotate per kv head
  int group_width;
  int head_dim;
  float sign;  // −1 for the inverse
};

/// Minimum traffic: twice the entries that rotate.
template <class T, int N>
__global__ void __launch_bounds__(kThreads) rotary_kernel(Rotary<T> a, int shares) {
  const int packs = a.half / N;
  const std::int64_t per_row = static_cast<std::int64_t>(shares) * packs;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::int64_t row = place_of<1>(at, 2, per_row).row;
  if (row >= a.rows) return;
  const int within = static_cast<int>(at - row * per_row);
  const int share = within / packs;
  const int i = (within - share * packs) * N;
  const std::int64_t position = a.positions == nullptr ? row % a.seq : a.positions[row];
  const Pack<float, N> cosine = load<N>(a.table.at(position, i));
  const Pack<float, N> sine = load<N>(a.table.at(position, a.half + i));
  Pack<T, N> first[kHeads];
  Pack<T, N> second[kHeads];
  T* entry[kHeads];
#pragma unroll
  for (int k = 0; k < kHeads; ++k) {
    const int head = share + k * shares;
    if (head < a.turned) {
      const int group = head / a.turned_group;
      const std::int64_t col = static_cast<std::int64_t>(group) * a.group_width +
                               (head - group * a.turned_group) * a.head_dim + i;
      entry[k] = a.qkv.at(row, col);
      first[k] = load<N>(entry[k]);
      second[k] = load<N>(entry[k] + a.half);
    }
  }
#pragma unroll
  for (int k = 0; k < kHeads; ++k) {
    if (share + k * shares < a.turned) {
      Pack<T, N> out;
      Pack<T, N> out_second;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float x = to_float(first[k].at[j]);
        const float y = to_float(second[k].at[j]);
        const float turn = a.sign * sine.at[j];
        out.at[j] = from_float<T>(x * cosine.at[j] - y * turn);
        out_second.at[j] = from_float<T>(y * cosine.at[j] + x * turn);
      }
      store(entry[k], out);
      store(entry[k] + a.half, out_second);
    }
  }
}

template <class T, int N>
void launch_rotary(cudaStream_t stream, const Rotary<T>& a) {
  const int shares = (a.turned + kHeads - 1) / kHeads;
  const std::int64_t threads = a.rows * shares * (a.half / N);
  launch(rotary_kernel<T, N>, dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads)),
         dim3(kThreads), 0, stream, a, shares);
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::Rotary& op) {
  const auto half = static_cast<int>(op.table.cols() / 2);
  if (half == 0 || op.qkv.count() == 0) return;
  with_type(op.qkv.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    const auto per_group = static_cast<int>(op.shape.queries_per_kv + 1);
    const Rotary<T> a{matrix<T>(op.qkv),
                      matrix<float>(op.table),
                      op.positions.empty() ? nullptr : op.positions.data<std::int32_t>(),
                      op.qkv.rows(),
                      op.shape.seq,
                      half,
                      static_cast<int>(op.shape.kv_heads) * per_group,
                      per_group,
                      static_cast<int>(op.shape.group_width()),
                      static_cast<int>(op.shape.head_dim),
                      op.inverse ? -1.0F : 1.0F};
    if (half % N == 0 && op.shape.head_dim % N == 0 && vectors_fit({op.qkv, op.table}, N)) {
      launch_rotary<T, N>(native(s), a);
    } else {
      launch_rotary<T, 1>(native(s), a);
    }
  });
}

}  // namespace trireme::cuda
