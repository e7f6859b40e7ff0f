// SPDX-License-Identifier: Apache-2.0
// Gradients of LayerNorm and RMSNorm in one pass over x and dy. Each thread keeps its columns,
// and adds up its share of the weights' gradients in registers.
#include <algorithm>

#include "../runtime/stream.hpp"
#include "../runtime/workspace.hpp"
#include "columns.cuh"
#include "kernels.hpp"
#include "row_norm.cuh"

namespace trireme::cuda {

namespace {

template <class T>
struct NormBackward {
  Matrix<const T> dy;
  Matrix<const T> x;
  Matrix<const T> add;  // null if there is none
  Matrix<T> dx;
  Matrix<const float> statistics;
  const T* weight;
  float* parts;  // [blocks, 2, cols]: partial sums of dweight and dbias
  std::int64_t rows;
  std::int64_t cols;
  float offset;  // added to each weight
  bool centred;  // true for LayerNorm
};

/// Whether the next row is read during the sums of a row, which takes registers.
template <int kHeld, bool kWarpTeam>
inline constexpr bool kAhead = kWarpTeam || kHeld <= 2;

/// A thread's vectors of one row, and the row's statistics.
template <class T, int N, int kHeld, bool kAdds>
struct RowPart {
  Pack<T, N> x[kHeld];
  Pack<T, N> dy[kHeld];
  Pack<T, N> add[kAdds ? kHeld : 1];
  float mean;
  float rstd;

  __device__ __forceinline__ void read(const NormBackward<T>& a, const Team& me,
                                       std::int64_t row) {
    if (row >= a.rows) return;
    mean = a.statistics.at(row, 0)[0];
    rstd = a.statistics.at(row, 0)[1];
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const std::int64_t col = static_cast<std::int64_t>(i * me.threads + me.thread) * N;
      if (col < a.cols) {
        x[i] = load<N>(a.x.at(row, col));
        dy[i] = load<N>(a.dy.at(row, col));
        if constexpr (kAdds) {
          if (a.add.data != nullptr) add[i] = load<N>(a.add.at(row, col));
        }
      }
    }
  }
};

/// Sums both numbers over a team. A thread block alternates between two rooms: at the barrier
/// of one room, all threads have read the other.
template <bool kWarpTeam>
__device__ __forceinline__ float2 both_over_team(float2 x, float2* room) {
  x = {over_warp(x.x), over_warp(x.y)};
  if constexpr (!kWarpTeam) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    if (lane == 0) room[threadIdx.x / kWarp] = x;
    __syncthreads();
    float2 share = {0, 0};
    if (lane < static_cast<int>(blockDim.x) / kWarp) share = room[lane];
    x = {over_warp(share.x), over_warp(share.y)};
  }
  return x;
}

/// A thread's sums over its rows.
template <int N, int kHeld>
struct Gradients {
  float weight[kHeld][N];
  float bias[kHeld][N];
};

/// Computes dx of one row and adds to the weights' gradients.
template <class T, int N, int kHeld, bool kWarpTeam>
__device__ __forceinline__ void row_gradient(
    const NormBackward<T>& a, const Team& me, std::int64_t row,
    const RowPart<T, N, kHeld, kAhead<kHeld, kWarpTeam>>& in, float2* room,
    Gradients<N, kHeld>& sums) {
  float2 total = {0, 0};  // Σ g·w, and Σ g·w·(x − mean)
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const std::int64_t col = static_cast<std::int64_t>(i * me.threads + me.thread) * N;
    if (col < a.cols) {
      const Pack<T, N> weight = load<N>(a.weight + col);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float g = to_float(in.dy[i].at[j]);
        const float from_mean = to_float(in.x[i].at[j]) - in.mean;
        const float gw = g * (to_float(weight.at[j]) + a.offset);
        total.x += gw;
        total.y = fmaf(gw, from_mean, total.y);
        sums.weight[i][j] = fmaf(g * from_mean, in.rstd, sums.weight[i][j]);
        sums.bias[i][j] += g;
      }
    }
  }
  total = both_over_team<kWarpTeam>(total, room);
  const float n = static_cast<float>(a.cols);
  const float shift = a.centred ? total.x / n : 0.0F;
  const float slope = total.y * in.rstd / n * in.rstd;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const std::int64_t col = static_cast<std::int64_t>(i * me.threads + me.thread) * N;
    if (col < a.cols) {
      const Pack<T, N> weight = load<N>(a.weight + col);
      Pack<T, N> add;
      if constexpr (kAhead<kHeld, kWarpTeam>) {
        add = in.add[i];
      } else {
        if (a.add.data != nullptr) add = load<N>(a.add.at(row, col));
      }
      Pack<T, N> out;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float gw = to_float(in.dy[i].at[j]) * (to_float(weight.at[j]) + a.offset);
        float value = (gw - shift - (to_float(in.x[i].at[j]) - in.mean) * slope) * in.rstd;
        if (a.add.data != nullptr) value += to_float(add.at[j]);
        out.at[j] = from_float<T>(value);
      }
      store(a.dx.at(row, col), out);
    }
  }
}

/// Writes the thread block's partial sums, added up over its teams in order. If there are
/// several teams, `total` is shared memory, [2, cols].
template <class T, int N, int kHeld, bool kWarpTeam>
__device__ __forceinline__ void write_part(const NormBackward<T>& a, const Team& me,
                                           const Gradients<N, kHeld>& sums, float* total) {
  float* const part = a.parts + static_cast<std::int64_t>(blockIdx.x) * 2 * a.cols;
  constexpr int kTeams = kWarpTeam ? kSmallTeams / kWarp : 1;
  const int mine = kWarpTeam ? static_cast<int>(threadIdx.x) / kWarp : 0;
  for (int turn = 0; turn < kTeams; ++turn) {
    if (turn > 0) __syncthreads();
    if (turn != mine) continue;
    float* const to = turn == kTeams - 1 ? part : total;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const std::int64_t first = static_cast<std::int64_t>(i * me.threads + me.thread) * N;
      if (first < a.cols) {
#pragma unroll
        for (int j = 0; j < N; ++j) {
          const std::int64_t col = first + j;
          to[col] = sums.weight[i][j] + (turn > 0 ? total[col] : 0.0F);
          to[a.cols + col] = sums.bias[i][j] + (turn > 0 ? total[a.cols + col] : 0.0F);
        }
      }
    }
  }
}

/// Minimum traffic: 3 elements of T per element, 4 with `add`.
template <class T, int N, int kHeld, bool kWarpTeam>
__global__ void __launch_bounds__(kWarpTeam    ? kSmallTeams
                                  : kHeld <= 8 ? 512
                                               : 1024) norm_backward_kernel(NormBackward<T> a) {
  __shared__ float2 room[2][kMaxWarps];
  const Team me = team<kWarpTeam>();
  Gradients<N, kHeld> sums{};
  RowPart<T, N, kHeld, kAhead<kHeld, kWarpTeam>> now;
  now.read(a, me, me.number);
  int turn = 0;
  for (std::int64_t row = me.number; row < a.rows; row += me.teams, turn ^= 1) {
    if constexpr (kAhead<kHeld, kWarpTeam>) {
      auto next = now;
      next.read(a, me, row + me.teams);
      row_gradient<T, N, kHeld, kWarpTeam>(a, me, row, now, room[turn], sums);
      now = next;
    } else {
      row_gradient<T, N, kHeld, kWarpTeam>(a, me, row, now, room[turn], sums);
      now.read(a, me, row + me.teams);
    }
  }
  write_part<T, N, kHeld, kWarpTeam>(a, me, sums, shared_memory<float>());
}

template <class T, int N, int kHeld>
void launch_backward(cudaStream_t stream, const NormBackward<T>& a, const TeamShape& shape,
                     int blocks) {
  const dim3 grid(static_cast<unsigned>(blocks));
  const dim3 block(static_cast<unsigned>(shape.threads));
  if constexpr (kHeld <= 8) {
    if (shape.warp) {
      const auto room = static_cast<std::size_t>(2 * a.cols) * sizeof(float);
      return launch(norm_backward_kernel<T, N, kHeld, true>, grid, block, room, stream, a);
    }
  }
  launch(norm_backward_kernel<T, N, kHeld, false>, grid, block, 0, stream, a);
}

template <class T>
void run_backward(cudaStream_t stream, const NormBackward<T>& a, bool vectors,
                  const TeamShape& shape, int blocks) {
  constexpr int N = kVector<T>;
  if (!vectors) {
    if (shape.held == 8) return launch_backward<T, 1, 8>(stream, a, shape, blocks);
    return launch_backward<T, 1, 64>(stream, a, shape, blocks);
  }
  switch (shape.held) {
    case 1:
      return launch_backward<T, N, 1>(stream, a, shape, blocks);
    case 2:
      return launch_backward<T, N, 2>(stream, a, shape, blocks);
    case 4:
      return launch_backward<T, N, 4>(stream, a, shape, blocks);
    default:
      return launch_backward<T, N, 16>(stream, a, shape, blocks);
  }
}

TeamShape backward_shape(std::int64_t vectors, bool wide) {
  return wide ? team_shape(vectors, 4, {{1, 512}, {2, 512}, {4, 512}, {16, 1024}})
              : team_shape(vectors, 8, {{8, 512}, {64, 1024}});
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::NormBackward& op) {
  const std::int64_t rows = op.x.rows();
  const std::int64_t cols = op.x.cols();
  if (op.x.count() == 0) return;
  with_type(op.x.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    const bool vectors =
        cols % N == 0 && vectors_fit({op.dy, op.x, op.weight, op.add, op.dx}, N);
    const TeamShape shape = backward_shape(vectors ? cols / N : cols, vectors);
    const int per_block = shape.warp ? kSmallTeams / kWarp : 1;
    // A multiprocessor runs four small thread blocks that have one row each.
    const std::int64_t most = !shape.warp && shape.threads <= 256 ? 2 * kMaxParts : kMaxParts;
    const auto fits = static_cast<std::int64_t>(Workspace::kBytes / sizeof(float)) / (2 * cols);
    const auto blocks =
        static_cast<int>(std::min({most, fits, (rows + per_block - 1) / per_block}));
    auto* const parts = static_cast<float*>(
        workspace_->take(static_cast<std::size_t>(2 * cols * blocks) * sizeof(float)));
    run_backward<T>(
        native(s),
        {matrix<T>(op.dy), matrix<T>(op.x), matrix<T>(op.add), matrix<T>(op.dx),
         matrix<float>(op.statistics), static_cast<const T*>(op.weight.raw()), parts, rows,
         cols, static_cast<float>(op.weight_offset), op.kind == Norm::layernorm},
        vectors, shape, blocks);
    add_parts(native(s), parts, blocks, 2 * cols, op.dweight, op.dbias);
  });
}

}  // namespace trireme::cuda
