// SPDX-License-Identifier: Apache-2.0
// Gradients of LayerNorm and RMSNorm in one pass over x and dy. Each thread keeps its columns,
// and adds up its share of the weights' gradients in registers. Rows that registers can't hold
// have one kernel for the weights' gradients, and one for dx.
#include <algorithm>

#include "../runtime/stream.hpp"
#include "../runtime/tuning.hpp"
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
__global__ void __launch_bounds__(kWarpTeam ? kSmallTeams : 512)
    norm_backward_kernel(NormBackward<T> a) {
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

/// Partial sums of the weights' gradients: each thread has N columns and every gridDim.y-th
/// row.
template <class T, int N>
__global__ void __launch_bounds__(kLongRowThreads) long_weights_kernel(NormBackward<T> a) {
  const std::int64_t col =
      (static_cast<std::int64_t>(blockIdx.x) * kLongRowThreads + threadIdx.x) * N;
  if (col >= a.cols) return;
  float weight[N] = {};
  float bias[N] = {};
  for (std::int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const float mean = a.statistics.at(row, 0)[0];
    const float rstd = a.statistics.at(row, 0)[1];
    const Pack<T, N> x = load<N>(a.x.at(row, col));
    const Pack<T, N> dy = load<N>(a.dy.at(row, col));
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float g = to_float(dy.at[j]);
      weight[j] = fmaf(g * (to_float(x.at[j]) - mean), rstd, weight[j]);
      bias[j] += g;
    }
  }
  float* const part = a.parts + static_cast<std::int64_t>(blockIdx.y) * 2 * a.cols + col;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    part[j] = weight[j];
    part[a.cols + j] = bias[j];
  }
}

/// dx of one row for each thread block. Each thread returns to its own columns.
template <class T, int N>
__global__ void __launch_bounds__(kLongRowThreads) long_backward_kernel(NormBackward<T> a) {
  __shared__ float2 room[kMaxWarps];
  const std::int64_t row = blockIdx.x;
  const std::int64_t first = static_cast<std::int64_t>(threadIdx.x) * N;
  constexpr std::int64_t kStep = static_cast<std::int64_t>(kLongRowThreads) * N;
  const float mean = a.statistics.at(row, 0)[0];
  const float rstd = a.statistics.at(row, 0)[1];
  float2 total = {0, 0};  // Σ g·w, and Σ g·w·(x − mean)
  for (std::int64_t col = first; col < a.cols; col += kStep) {
    const Pack<T, N> x = load<N>(a.x.at(row, col));
    const Pack<T, N> dy = load<N>(a.dy.at(row, col));
    const Pack<T, N> weight = load<N>(a.weight + col);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float gw = to_float(dy.at[j]) * (to_float(weight.at[j]) + a.offset);
      total.x += gw;
      total.y = fmaf(gw, to_float(x.at[j]) - mean, total.y);
    }
  }
  total = both_over_team<false>(total, room);
  const float n = static_cast<float>(a.cols);
  const float shift = a.centred ? total.x / n : 0.0F;
  const float slope = total.y * rstd / n * rstd;
  for (std::int64_t col = first; col < a.cols; col += kStep) {
    const Pack<T, N> x = load<N>(a.x.at(row, col));
    const Pack<T, N> dy = load<N>(a.dy.at(row, col));
    const Pack<T, N> weight = load<N>(a.weight + col);
    Pack<T, N> out;
    if (a.add.data != nullptr) out = load<N>(a.add.at(row, col));
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float gw = to_float(dy.at[j]) * (to_float(weight.at[j]) + a.offset);
      float value = (gw - shift - (to_float(x.at[j]) - mean) * slope) * rstd;
      if (a.add.data != nullptr) value += to_float(out.at[j]);
      out.at[j] = from_float<T>(value);
    }
    store(a.dx.at(row, col), out);
  }
}

/// The weights come first, because dx may take the place of dy.
template <class T, int N>
void launch_long(cudaStream_t stream, const NormBackward<T>& a, int parts) {
  constexpr std::int64_t kColumns = static_cast<std::int64_t>(kLongRowThreads) * N;
  launch(long_weights_kernel<T, N>,
         dim3(static_cast<unsigned>((a.cols + kColumns - 1) / kColumns),
              static_cast<unsigned>(parts)),
         dim3(kLongRowThreads), 0, stream, a);
  launch(long_backward_kernel<T, N>, dim3(static_cast<unsigned>(a.rows)), dim3(kLongRowThreads),
         0, stream, a);
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
    return launch_long<T, 1>(stream, a, blocks);
  }
  switch (shape.held) {
    case 1:
      return launch_backward<T, N, 1>(stream, a, shape, blocks);
    case 2:
      return launch_backward<T, N, 2>(stream, a, shape, blocks);
    case 4:
      return launch_backward<T, N, 4>(stream, a, shape, blocks);
    default:
      return launch_long<T, N>(stream, a, blocks);
  }
}

TeamShape backward_shape(std::int64_t vectors, bool wide) {
  return wide ? team_shape(vectors, 4, {{1, 512}, {2, 512}, {4, 512}})
              : team_shape(vectors, 8, {{8, 512}});
}

/// A multiprocessor runs four small thread blocks that have one row each. A long row has
/// several thread blocks for each partial sum.
std::int64_t most_parts(const TeamShape& shape, int column_parts) {
  if (shape.held == kLongRow) return std::max(1, column_parts / 4);
  return !shape.warp && shape.threads <= 256 ? 2 * column_parts : column_parts;
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
    const std::int64_t most = most_parts(shape, tuning_->column_parts);
    const auto fits = static_cast<std::int64_t>(Workspace::kBytes / sizeof(float)) / (2 * cols);
    TRM_REQUIRE(fits > 0, "a norm over rows of {} elements on a GPU: rows are too long", cols);
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
