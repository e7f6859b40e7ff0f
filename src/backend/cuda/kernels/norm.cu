// SPDX-License-Identifier: Apache-2.0
// Forward pass of LayerNorm and RMSNorm, after adding a residual if there is one. Memory is
// read once; rows that registers can't hold come from the caches afterwards.
#include "../runtime/stream.hpp"
#include "kernels.hpp"
#include "philox.cuh"
#include "row_norm.cuh"

namespace trireme::cuda {

namespace {

template <class T>
struct NormForward {
  Matrix<const T> x;
  Matrix<const T> add;  // residual only
  Matrix<T> sum;        // residual only
  Matrix<T> y;
  Matrix<float> statistics;
  const T* weight;
  const T* bias;  // null if there is none
  std::int64_t rows;
  std::int64_t cols;
  float epsilon;
  float offset;  // added to each weight
  bool centred;  // true for LayerNorm
  bool drops;
  Mask mask;
};

/// Returns x + dropout(add), rounded, and stores this input of the norm.
template <int N, class T>
__device__ __forceinline__ Pack<T, N> joined(const NormForward<T>& a, std::int64_t row,
                                             std::int64_t col, const Pack<T, N>& x,
                                             const Pack<T, N>& add) {
  float base[N];
  float value[N];
#pragma unroll
  for (int j = 0; j < N; ++j) {
    base[j] = to_float(x.at[j]);
    value[j] = to_float(add.at[j]);
  }
  if (a.drops) {
    add_dropped(a.mask, row, col, value, base, value);
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) value[j] = base[j] + value[j];
  }
  Pack<T, N> sum;
#pragma unroll
  for (int j = 0; j < N; ++j) sum.at[j] = from_float<T>(value[j]);
  store(a.sum.at(row, col), sum);
  return sum;
}

/// y = (x − mean)·rstd·weight + bias.
template <int N, class T>
__device__ __forceinline__ Pack<T, N> normed(const NormForward<T>& a, std::int64_t col,
                                             const Pack<T, N>& x, float mean, float rstd) {
  const Pack<T, N> weight = load<N>(a.weight + col);
  Pack<T, N> bias;
  if (a.bias != nullptr) bias = load<N>(a.bias + col);
  Pack<T, N> y;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    float value = (to_float(x.at[j]) - mean) * rstd * (to_float(weight.at[j]) + a.offset);
    if (a.bias != nullptr) value += to_float(bias.at[j]);
    y.at[j] = from_float<T>(value);
  }
  return y;
}

template <class T>
__device__ __forceinline__ void store_statistics(const NormForward<T>& a, std::int64_t row,
                                                 float mean, float rstd) {
  a.statistics.at(row, 0)[0] = mean;
  a.statistics.at(row, 0)[1] = rstd;
}

/// Minimum traffic: 2 elements of T per element, 4 with a residual.
template <class T, int N, int kHeld, bool kWarpTeam, bool kResidual>
__global__ void __launch_bounds__(kWarpTeam ? kSmallTeams : 512) norm_kernel(NormForward<T> a) {
  __shared__ float room[kMaxWarps];
  const Team me = team<kWarpTeam>();
  const std::int64_t row = me.number;
  if (row >= a.rows) return;  // true for the whole team at once
  constexpr int kTogether = 4;
  static_assert(kHeld % kTogether == 0);
  const auto column = [&](int i) {
    return static_cast<std::int64_t>(i * me.threads + me.thread) * N;
  };
  Pack<T, N> held[kHeld];
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const std::int64_t col = column(i);
    if (col < a.cols) held[i] = load<N>(a.x.at(row, col));
  }
  float total = 0;
#pragma unroll
  for (int first = 0; first < kHeld; first += kTogether) {
    Pack<T, N> add[kTogether];  // loaded before sums are stored: `sum` may be `add`
    if constexpr (kResidual) {
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const std::int64_t col = column(first + i);
        if (col < a.cols) add[i] = load<N>(a.add.at(row, col));
      }
    }
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      const std::int64_t col = column(first + i);
      if (col < a.cols) {
        Pack<T, N>& x = held[first + i];
        if constexpr (kResidual) x = joined(a, row, col, x, add[i]);
#pragma unroll
        for (int j = 0; j < N; ++j) total += to_float(x.at[j]);
      }
    }
  }
  const float n = static_cast<float>(a.cols);
  const float mean = a.centred ? over_team<kWarpTeam>(total, room) / n : 0.0F;
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (column(i) < a.cols) {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float from_mean = to_float(held[i].at[j]) - mean;
        squares = fmaf(from_mean, from_mean, squares);
      }
    }
  }
  const float rstd = 1.0F / sqrtf(over_team<kWarpTeam>(squares, room) / n + a.epsilon);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const std::int64_t col = column(i);
    if (col < a.cols) store(a.y.at(row, col), normed(a, col, held[i], mean, rstd));
  }
  if (me.thread == 0) store_statistics(a, row, mean, rstd);
}

/// One thread block for each row. Each thread returns to its own columns.
template <class T, int N, bool kResidual>
__global__ void __launch_bounds__(kLongRowThreads) long_norm_kernel(NormForward<T> a) {
  __shared__ float room[kMaxWarps];
  const std::int64_t row = blockIdx.x;
  const std::int64_t first = static_cast<std::int64_t>(threadIdx.x) * N;
  constexpr std::int64_t kStep = static_cast<std::int64_t>(kLongRowThreads) * N;
  const auto input = [&](std::int64_t col) {
    return kResidual ? load<N>(static_cast<const T*>(a.sum.at(row, col)))
                     : load<N>(a.x.at(row, col));
  };
  float total = 0;
  for (std::int64_t col = first; col < a.cols; col += kStep) {
    Pack<T, N> x = load<N>(a.x.at(row, col));
    if constexpr (kResidual) x = joined(a, row, col, x, load<N>(a.add.at(row, col)));
#pragma unroll
    for (int j = 0; j < N; ++j) total += to_float(x.at[j]);
  }
  const float n = static_cast<float>(a.cols);
  const float mean = a.centred ? over_block(total, room) / n : 0.0F;
  float squares = 0;
  for (std::int64_t col = first; col < a.cols; col += kStep) {
    const Pack<T, N> x = input(col);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float from_mean = to_float(x.at[j]) - mean;
      squares = fmaf(from_mean, from_mean, squares);
    }
  }
  const float rstd = 1.0F / sqrtf(over_block(squares, room) / n + a.epsilon);
  for (std::int64_t col = first; col < a.cols; col += kStep) {
    store(a.y.at(row, col), normed(a, col, input(col), mean, rstd));
  }
  if (threadIdx.x == 0) store_statistics(a, row, mean, rstd);
}

template <class T, int N, bool kResidual>
void launch_long(cudaStream_t stream, const NormForward<T>& a) {
  launch(long_norm_kernel<T, N, kResidual>, dim3(static_cast<unsigned>(a.rows)),
         dim3(kLongRowThreads), 0, stream, a);
}

template <class T, int N, int kHeld, bool kResidual>
void launch_norm(cudaStream_t stream, const NormForward<T>& a, const TeamShape& shape) {
  if constexpr (kHeld <= 4 || (kHeld == 8 && N == 1)) {
    constexpr int kPerBlock = kSmallTeams / kWarp;
    if (shape.warp) {
      return launch(norm_kernel<T, N, kHeld, true, kResidual>,
                    dim3(static_cast<unsigned>((a.rows + kPerBlock - 1) / kPerBlock)),
                    dim3(kSmallTeams), 0, stream, a);
    }
  }
  launch(norm_kernel<T, N, kHeld, false, kResidual>, dim3(static_cast<unsigned>(a.rows)),
         dim3(static_cast<unsigned>(shape.threads)), 0, stream, a);
}

template <class T, bool kResidual>
void run_norm(cudaStream_t stream, const NormForward<T>& a, bool vectors) {
  constexpr int N = kVector<T>;
  if (a.rows == 0 || a.cols == 0) return;
  if (vectors) {
    const TeamShape shape = team_shape(a.cols / N, 4, {{4, 512}, {8, 512}});
    if (shape.held == 4) return launch_norm<T, N, 4, kResidual>(stream, a, shape);
    if (shape.held == 8) return launch_norm<T, N, 8, kResidual>(stream, a, shape);
    return launch_long<T, N, kResidual>(stream, a);
  }
  const TeamShape shape = team_shape(a.cols, 8, {{8, 512}});
  if (shape.held == 8) return launch_norm<T, 1, 8, kResidual>(stream, a, shape);
  launch_long<T, 1, kResidual>(stream, a);
}

template <class T, class Operation>
NormForward<T> norm_of(const Operation& op) {
  NormForward<T> a{};
  a.x = matrix<T>(op.x);
  a.y = matrix<T>(op.y);
  a.statistics = matrix<float>(op.statistics);
  a.weight = static_cast<const T*>(op.weight.raw());
  a.bias = op.bias.empty() ? nullptr : static_cast<const T*>(op.bias.raw());
  a.rows = op.x.rows();
  a.cols = op.x.cols();
  a.epsilon = static_cast<float>(op.epsilon);
  a.offset = static_cast<float>(op.weight_offset);
  a.centred = op.kind == Norm::layernorm;
  return a;
}

/// Whether all rows consist of whole, aligned vectors.
bool whole_vectors(std::initializer_list<ConstView> views, std::int64_t cols, int n) {
  return cols % n == 0 && vectors_fit(views, n);
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::NormForward& op) {
  with_type(op.x.dtype(), [&]<class T>(TypeTag<T>) {
    run_norm<T, false>(
        native(s), norm_of<T>(op),
        whole_vectors({op.x, op.weight, op.bias, op.y}, op.x.cols(), kVector<T>));
  });
}

void CudaKernels::run(Stream& s, const ops::ResidualNormForward& op) {
  with_type(op.x.dtype(), [&]<class T>(TypeTag<T>) {
    NormForward<T> a = norm_of<T>(op);
    a.add = matrix<T>(op.residual.add);
    a.sum = matrix<T>(op.sum);
    a.drops = op.residual.dropout.probability > 0;
    a.mask = mask_of(op.residual.dropout);
    run_norm<T, true>(native(s), a,
                      whole_vectors({op.x, op.residual.add, op.weight, op.bias, op.sum, op.y},
                                    op.x.cols(), kVector<T>));
  });
}

}  // namespace trireme::cuda
