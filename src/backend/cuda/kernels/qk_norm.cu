// SPDX-License-Identifier: Apache-2.0
// Norms of queries and keys. A warp has one norm of one row. Gradients of weights are summed by
// thread blocks that share out the rows, and then added up in order.
#include <algorithm>

#include "trireme/ops/qk_norm.hpp"

#include "../runtime/stream.hpp"
#include "../runtime/tuning.hpp"
#include "../runtime/workspace.hpp"
#include "columns.cuh"
#include "each.cuh"
#include "kernels.hpp"

namespace trireme::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

template <class T>
struct QkNorm {
  ops::QkNormLayout layout;
  Matrix<const T> x;
  Matrix<const T> dy;  // sums with dy only
  Matrix<T> y;         // forward's result, or backward's dy and dx
  Matrix<const float> sums;
  Matrix<const float> slopes;
  Matrix<float> result;    // sums go here
  const T* weight[2];      // [queries, keys]
  const T* bias[2];        // null if there is none
  float* parts = nullptr;  // [blocks, 2, columns]: partial sums of dweight and dbias
  std::int64_t rows = 0;
  std::int64_t entries[2] = {0, 0};  // entries of a norm on all ranks
  float epsilon = 0;
  float offset = 0;
  bool centred = false;
};

struct QkMoments {
  float mean;
  float rstd;
};

template <class T>
__device__ __forceinline__ QkMoments moments_of(const QkNorm<T>& a, std::int64_t row,
                                                std::int64_t norm) {
  const float* sums = a.sums.at(row, 2 * norm);
  const float n = static_cast<float>(a.entries[a.layout.of_keys(norm) ? 1 : 0]);
  const float mean = a.centred ? sums[0] / n : 0.0F;
  const float variance = fmaxf(sums[1] / n - mean * mean, 0.0F);
  return {mean, 1.0F / sqrtf(variance + a.epsilon)};
}

/// The norm of this thread's warp: its row is `rows` or more where there is none.
struct WarpPlace {
  std::int64_t row;
  std::int64_t norm;
  int lane;
};
__device__ __forceinline__ WarpPlace warp_place(std::int64_t per_row) {
  const std::int64_t warp =
      static_cast<std::int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t row = warp / per_row;
  return {row, warp - row * per_row, static_cast<int>(threadIdx.x) % kWarp};
}

template <class T>
__global__ void __launch_bounds__(kThreads) qk_sums_kernel(const QkNorm<T> a) {
  const WarpPlace me = warp_place(a.layout.norms());
  if (me.row >= a.rows) return;
  const int key = a.layout.of_keys(me.norm) ? 1 : 0;
  float first = 0;
  float second = 0;
  for (std::int64_t h = 0; h < a.layout.heads(me.norm); ++h) {
    const std::int64_t column = a.layout.column(me.norm, h);
    for (std::int64_t c = me.lane; c < a.layout.head_dim; c += kWarp) {
      const float x = to_float(*a.x.at(me.row, column + c));
      float g = x;
      if (a.dy.data != nullptr) {
        const float w = to_float(a.weight[key][a.layout.weight(h) + c]) + a.offset;
        g = to_float(*a.dy.at(me.row, column + c)) * w;
      }
      first += g;
      second = fmaf(g, x, second);
    }
  }
  first = over_warp(first);
  second = over_warp(second);
  if (me.lane != 0) return;
  *a.result.at(me.row, 2 * me.norm) = first;
  *a.result.at(me.row, 2 * me.norm + 1) = second;
}

/// Warps beyond the norms of a row copy its values.
template <class T>
__global__ void __launch_bounds__(kThreads) qk_forward_kernel(const QkNorm<T> a) {
  const std::int64_t norms = a.layout.norms();
  const WarpPlace me = warp_place(norms + a.layout.kv_heads);
  if (me.row >= a.rows) return;
  const std::int64_t dim = a.layout.head_dim;
  if (me.norm >= norms) {
    const std::int64_t group = me.norm - norms;
    const std::int64_t column = ((group + 1) * (a.layout.queries_per_kv + 2) - 1) * dim;
    for (std::int64_t c = me.lane; c < dim; c += kWarp) {
      *a.y.at(me.row, column + c) = *a.x.at(me.row, column + c);
    }
    return;
  }
  const QkMoments of = moments_of(a, me.row, me.norm);
  const int key = a.layout.of_keys(me.norm) ? 1 : 0;
  for (std::int64_t h = 0; h < a.layout.heads(me.norm); ++h) {
    const std::int64_t column = a.layout.column(me.norm, h);
    for (std::int64_t c = me.lane; c < dim; c += kWarp) {
      const std::int64_t at = a.layout.weight(h) + c;
      float y = (to_float(*a.x.at(me.row, column + c)) - of.mean) * of.rstd *
                (to_float(a.weight[key][at]) + a.offset);
      if (a.bias[key] != nullptr) y += to_float(a.bias[key][at]);
      *a.y.at(me.row, column + c) = from_float<T>(y);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) qk_backward_kernel(const QkNorm<T> a) {
  const WarpPlace me = warp_place(a.layout.norms());
  if (me.row >= a.rows) return;
  const QkMoments of = moments_of(a, me.row, me.norm);
  const int key = a.layout.of_keys(me.norm) ? 1 : 0;
  const float* slopes = a.slopes.at(me.row, 2 * me.norm);
  const float n = static_cast<float>(a.entries[key]);
  const float shift = a.centred ? slopes[0] / n : 0.0F;
  const float slope = (slopes[1] - of.mean * slopes[0]) * of.rstd * of.rstd / n;
  for (std::int64_t h = 0; h < a.layout.heads(me.norm); ++h) {
    const std::int64_t column = a.layout.column(me.norm, h);
    for (std::int64_t c = me.lane; c < a.layout.head_dim; c += kWarp) {
      const float w = to_float(a.weight[key][a.layout.weight(h) + c]) + a.offset;
      T* const d = a.y.at(me.row, column + c);
      const float from_mean = to_float(*a.x.at(me.row, column + c)) - of.mean;
      *d = from_float<T>((to_float(*d) * w - shift - from_mean * slope) * of.rstd);
    }
  }
}

/// A thread has columns of the weights: first those of queries, then those of keys. A thread
/// block has every gridDim-th row.
template <class T>
__global__ void __launch_bounds__(kThreads)
    qk_weights_kernel(const QkNorm<T> a, std::int64_t of_queries, std::int64_t columns) {
  const ops::QkNormLayout& layout = a.layout;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (at >= columns) return;
  const bool key = at >= of_queries;
  const std::int64_t weight = key ? at - of_queries : at;
  const std::int64_t own_head = weight / layout.head_dim;  // 0 unless norms are of rows
  const std::int64_t entry = weight - own_head * layout.head_dim;
  const std::int64_t per_group = layout.queries_per_kv + 1;
  const std::int64_t count =
      layout.rows ? 1 : layout.kv_heads * (key ? 1 : layout.queries_per_kv);
  float dw = 0;
  float db = 0;
  for (std::int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t head_norm =
          key ? i * per_group + layout.queries_per_kv
              : i / layout.queries_per_kv * per_group + i % layout.queries_per_kv;
      const std::int64_t norm = layout.rows ? (key ? 1 : 0) : head_norm;
      const std::int64_t column = layout.column(norm, own_head) + entry;
      const QkMoments of = moments_of(a, row, norm);
      const float dy = to_float(*a.y.at(row, column));
      dw = fmaf(dy * (to_float(*a.x.at(row, column)) - of.mean), of.rstd, dw);
      db += dy;
    }
  }
  float* const part = a.parts + static_cast<std::int64_t>(blockIdx.x) * 2 * columns;
  part[at] = dw;
  part[columns + at] = db;
}

template <class T, class Operation>
QkNorm<T> norm_of(const Operation& op) {
  QkNorm<T> a{};
  a.layout = op.norm.layout();
  a.x = matrix<T>(op.qkv);
  a.weight[0] = static_cast<const T*>(op.q_weight.raw());
  a.weight[1] = static_cast<const T*>(op.k_weight.raw());
  a.rows = op.qkv.rows();
  a.entries[0] = op.norm.entries(0);
  a.entries[1] = op.norm.entries(op.norm.rows ? 1 : 0);
  a.epsilon = static_cast<float>(op.norm.epsilon);
  a.offset = static_cast<float>(op.norm.weight_offset);
  a.centred = op.norm.kind == Norm::layernorm;
  return a;
}

unsigned blocks_for(std::int64_t rows, std::int64_t per_row) {
  return static_cast<unsigned>((rows * per_row + kWarps - 1) / kWarps);
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::QkNormSums& op) {
  if (op.qkv.empty()) return;
  with_type(op.qkv.dtype(), [&]<class T>(TypeTag<T>) {
    QkNorm<T> a = norm_of<T>(op);
    a.dy = matrix<T>(op.dy);
    a.result = matrix<float>(op.sums);
    launch(qk_sums_kernel<T>, dim3(blocks_for(a.rows, a.layout.norms())), dim3(kThreads), 0,
           native(s), a);
  });
}

void CudaKernels::run(Stream& s, const ops::QkNormForward& op) {
  if (op.qkv.empty()) return;
  with_type(op.qkv.dtype(), [&]<class T>(TypeTag<T>) {
    QkNorm<T> a = norm_of<T>(op);
    a.sums = matrix<float>(op.sums);
    a.y = matrix<T>(op.y);
    a.bias[0] = static_cast<const T*>(op.q_bias.raw());
    a.bias[1] = static_cast<const T*>(op.k_bias.raw());
    launch(qk_forward_kernel<T>, dim3(blocks_for(a.rows, a.layout.norms() + a.layout.kv_heads)),
           dim3(kThreads), 0, native(s), a);
  });
}

void CudaKernels::run(Stream& s, const ops::QkNormBackward& op) {
  if (op.qkv.empty()) return;
  with_type(op.qkv.dtype(), [&]<class T>(TypeTag<T>) {
    QkNorm<T> a = norm_of<T>(op);
    a.sums = matrix<float>(op.sums);
    a.slopes = matrix<float>(op.slopes);
    a.y = matrix<T>(op.dqkv);
    const std::int64_t columns = op.q_weight.count() + op.k_weight.count();
    const auto fits =
        static_cast<std::int64_t>(Workspace::kBytes / sizeof(float)) / (2 * columns);
    const auto blocks =
        static_cast<int>(std::min<std::int64_t>({tuning_->column_parts, fits, a.rows}));
    a.parts = static_cast<float*>(
        workspace_->take(static_cast<std::size_t>(2 * columns * blocks) * sizeof(float)));
    launch(qk_weights_kernel<T>,
           dim3(static_cast<unsigned>(blocks),
                static_cast<unsigned>((columns + kThreads - 1) / kThreads)),
           dim3(kThreads), 0, native(s), a, op.q_weight.count(), columns);
    add_parts(native(s), a.parts, blocks, 2 * columns, op.dq_weight, op.dk_weight);
    if (!op.dq_bias.empty()) {
      add_parts(native(s), a.parts + columns, blocks, 2 * columns, op.dq_bias, op.dk_bias);
    }
    launch(qk_backward_kernel<T>, dim3(blocks_for(a.rows, a.layout.norms())), dim3(kThreads), 0,
           native(s), a);
  });
}

}  // namespace trireme::cuda
