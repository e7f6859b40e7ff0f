// SPDX-License-Identifier: Apache-2.0
// Gradients of LayerNorm and RMSNorm: one pass over x and dy, in which each thread keeps to its
// columns and so adds up its part of the weights' gradients in registers.
#include <algorithm>

#include "columns.cuh"
#include "kernels.hpp"
#include "row_norm.cuh"
#include "stream.hpp"
#include "workspace.hpp"

namespace trireme::cuda {

namespace {

template <class T>
struct NormBackward {
  Matrix<const T> dy;
  Matrix<const T> x;
  Matrix<const T> add;  // none: null
  Matrix<T> dx;
  Matrix<const float> statistics;
  const T* weight;
  float* parts;  // [blocks, 2, cols]: of dweight, of dbias
  std::int64_t rows;
  std::int64_t cols;
  bool centred;  // LayerNorm
};

/// A thread's vectors of one row.
template <class T, int N, int kHeld>
struct RowPart {
  Pack<T, N> x[kHeld];
  Pack<T, N> dy[kHeld];

  __device__ __forceinline__ void read(const NormBackward<T>& a, const Team& me,
                                       std::int64_t row) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const std::int64_t col = static_cast<std::int64_t>(i * me.threads + me.thread) * N;
      if (row < a.rows && col < a.cols) {
        x[i] = load<N>(a.x.at(row, col));
        dy[i] = load<N>(a.dy.at(row, col));
      }
    }
  }
};

/// What a thread adds up over its rows.
template <int N, int kHeld>
struct Gradients {
  float weight[kHeld][N];
  float bias[kHeld][N];
};

/// One row: its dx, and its part of the weights' gradients.
template <class T, int N, int kHeld, bool kWarpTeam>
__device__ __forceinline__ void row_gradient(const NormBackward<T>& a, const Team& me,
                                             std::int64_t row, const RowPart<T, N, kHeld>& in,
                                             float* room, Gradients<N, kHeld>& sums) {
  const float mean = a.statistics.at(row, 0)[0];
  const float rstd = a.statistics.at(row, 0)[1];
  float plain = 0;
  float crossed = 0;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const std::int64_t col = static_cast<std::int64_t>(i * me.threads + me.thread) * N;
    if (col < a.cols) {
      const Pack<T, N> weight = load<N>(a.weight + col);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float g = to_float(in.dy[i].at[j]);
        const float from_mean = to_float(in.x[i].at[j]) - mean;
        const float gw = g * to_float(weight.at[j]);
        plain += gw;
        crossed = fmaf(gw, from_mean, crossed);
        sums.weight[i][j] = fmaf(g * from_mean, rstd, sums.weight[i][j]);
        sums.bias[i][j] += g;
      }
    }
  }
  const float n = static_cast<float>(a.cols);
  const float shift = a.centred ? over_team<kWarpTeam>(plain, room) / n : 0.0F;
  const float slope = over_team<kWarpTeam>(crossed, room) * rstd / n * rstd;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const std::int64_t col = static_cast<std::int64_t>(i * me.threads + me.thread) * N;
    if (col < a.cols) {
      const Pack<T, N> weight = load<N>(a.weight + col);
      Pack<T, N> add;
      if (a.add.data != nullptr) add = load<N>(a.add.at(row, col));
      Pack<T, N> out;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float gw = to_float(in.dy[i].at[j]) * to_float(weight.at[j]);
        float value = (gw - shift - (to_float(in.x[i].at[j]) - mean) * slope) * rstd;
        if (a.add.data != nullptr) value += to_float(add.at[j]);
        out.at[j] = from_float<T>(value);
      }
      store(a.dx.at(row, col), out);
    }
  }
}

/// The block's part: its teams' sums in their order. `total`: shared, [2, cols], where a block
/// has several teams.
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

/// Floor: 3 elements of T an element, 4 with `add`; the next row is read while this one is
/// summed.
template <class T, int N, int kHeld, bool kWarpTeam>
__global__ void __launch_bounds__(kWarpTeam                  ? kSmallTeams
                                  : kHeld == 2               ? 768
                                  : kHeld == 4 || kHeld == 8 ? 512
                                                             : 1024)
    norm_backward_kernel(NormBackward<T> a) {
  __shared__ float room[kMaxWarps];
  const Team me = team<kWarpTeam>();
  Gradients<N, kHeld> sums{};
  RowPart<T, N, kHeld> now;
  now.read(a, me, me.number);
  for (std::int64_t row = me.number; row < a.rows; row += me.teams) {
    if constexpr (kWarpTeam || kHeld == 1) {
      RowPart<T, N, kHeld> next;
      next.read(a, me, row + me.teams);
      row_gradient<T, N, kHeld, kWarpTeam>(a, me, row, now, room, sums);
      now = next;
    } else {  // no registers for two rows
      row_gradient<T, N, kHeld, kWarpTeam>(a, me, row, now, room, sums);
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
  return wide ? team_shape(vectors, 4, {{1, 1024}, {2, 768}, {4, 512}, {16, 1024}})
              : team_shape(vectors, 8, {{8, 512}, {64, 1024}});
}

}  // namespace

void CudaKernels::norm_backward(Stream& s, Norm kind, const ConstView& dy, const ConstView& x,
                                const ConstView& weight, const ConstView& statistics,
                                const ConstView& add, const View& dx, const View& dweight,
                                const View& dbias) {
  const std::int64_t rows = x.rows();
  const std::int64_t cols = x.cols();
  if (x.count() == 0) return;
  with_type(x.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    const bool vectors = cols % N == 0 && vectors_fit({dy, x, weight, add, dx}, N);
    const TeamShape shape = backward_shape(vectors ? cols / N : cols, vectors);
    const int per_block = shape.warp ? kSmallTeams / kWarp : 1;
    const auto fits = static_cast<std::int64_t>(Workspace::kBytes / sizeof(float)) / (2 * cols);
    const auto blocks = static_cast<int>(
        std::min({std::int64_t{kMaxParts}, fits, (rows + per_block - 1) / per_block}));
    auto* const parts = static_cast<float*>(
        workspace_->take(static_cast<std::size_t>(2 * cols * blocks) * sizeof(float)));
    run_backward<T>(
        native(s),
        {matrix<T>(dy), matrix<T>(x), matrix<T>(add), matrix<T>(dx), matrix<float>(statistics),
         static_cast<const T*>(weight.raw()), parts, rows, cols, kind == Norm::layernorm},
        vectors, shape, blocks);
    add_parts(native(s), parts, blocks, 2 * cols, dweight);
    if (!dbias.empty()) add_parts(native(s), parts + cols, blocks, 2 * cols, dbias);
  });
}

}  // namespace trireme::cuda
