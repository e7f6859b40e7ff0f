// SPDX-License-Identifier: Apache-2.0
// The sharded softmax in place, one thread block per row. Vectors start at a multiple of 16
// bytes. Elements before and after them are handled singly, which allows any vocabulary and
// stride.
#include <limits>

#include "../runtime/stream.hpp"
#include "each.cuh"
#include "kernels.hpp"
#include "reduce.cuh"

namespace trireme::cuda {

namespace {

constexpr int kThreads = 512;

template <class T>
__device__ __forceinline__ float exponential(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return expf(x);
  } else {
    return __expf(x);
  }
}

/// Writes 16 bytes in one store. The compiler might split a plain store between exponentials.
template <class P>
__device__ __forceinline__ void store_whole(void* to, const P& values) {
  uint4 words;
  static_assert(sizeof(words) == sizeof(values));
  memcpy(&words, &values, sizeof(words));
  __stcg(static_cast<uint4*>(to), words);
}

/// How a row is split: vectors, and single elements before and after. Rows are shorter than
/// 2^31.
template <class T>
struct AlignedRow {
  static constexpr int N = kVector<T>;
  int head;
  int packs;
  int cols;

  __device__ __forceinline__ AlignedRow(const T* row, int n) : cols(n) {
    const auto past = static_cast<int>(reinterpret_cast<std::uintptr_t>(row) % 16 / sizeof(T));
    head = past == 0 ? 0 : N - past;
    if (head > n) head = n;
    packs = (n - head) / N;
  }

  /// Calls one(element) and pack(first element of N) for this thread's share.
  template <class One, class Vector>
  __device__ __forceinline__ void visit(One&& one, Vector&& pack) const {
    const auto t = static_cast<int>(threadIdx.x);
    if (t < head) one(t);
#pragma unroll 4
    for (int p = t; p < packs; p += kThreads) pack(head + p * N);
    if (t < cols - head - packs * N) one(head + packs * N + t);
  }

  /// to[i] = f(from[i], i) for this thread's share, with several loads in flight.
  template <class F>
  __device__ __forceinline__ void change(const T* from, T* to, F&& f) const {
    constexpr int kAtOnce = 2;
    const auto t = static_cast<int>(threadIdx.x);
    if (t < head) to[t] = f(from[t], t);
    for (int p = t; p < packs; p += kAtOnce * kThreads) {
      Pack<T, N> in[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (p + i * kThreads < packs) in[i] = load<N>(from + head + (p + i * kThreads) * N);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (p + i * kThreads < packs) {
          const int at = head + (p + i * kThreads) * N;
          Pack<T, N> out;
#pragma unroll
          for (int j = 0; j < N; ++j) out.at[j] = f(in[i].at[j], at + j);
          store_whole(to + at, out);
        }
      }
    }
    const int rest = head + packs * N;
    if (t < cols - rest) to[rest + t] = f(from[rest + t], rest + t);
  }
};

/// The index of the row's target among `cols` columns from `first` on; −1 if another rank has
/// it.
__device__ __forceinline__ int target_of(const std::int32_t* targets, std::int64_t row,
                                         std::int64_t first, int cols) {
  const std::int64_t at = targets[row] - first;
  return at >= 0 && at < cols ? static_cast<int>(at) : -1;
}

template <class T>
struct Local {
  Matrix<T> logits;
  int cols;
  const std::int32_t* targets;
  std::int64_t first_column;
  float* max;
  float* sum;
  float* picked;
  float own;   // what the target has
  float each;  // what every class has
};

/// Minimum traffic: 2 elements of T per element. Between its two uses, the row stays in shared
/// memory if two rows fit (`kStash`), else at best in the cache.
template <class T, bool kStash>
__global__ void __launch_bounds__(kThreads) local_kernel(Local<T> a) {
  constexpr int N = kVector<T>;
  __shared__ float room[kMaxWarps];
  const std::int64_t row = blockIdx.x;
  T* const z = a.logits.at(row, 0);
  const AlignedRow<T> aligned(z, a.cols);
  // Vectors have the same alignment in the stash as in memory.
  T* const held = kStash ? shared_memory<T>() + (N - aligned.head) % N : z;
  const int target = target_of(a.targets, row, a.first_column, a.cols);
  const float lowest = -INFINITY;
  float most = lowest;
  float all = 0;
  aligned.visit(
      [&](int i) {
        most = fmaxf(most, to_float(z[i]));
        all += to_float(z[i]);
        if constexpr (kStash) held[i] = z[i];
      },
      [&](int i) {
        const Pack<T, N> in = load<N>(z + i);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          most = fmaxf(most, to_float(in.at[j]));
          all += to_float(in.at[j]);
        }
        if constexpr (kStash) store(held + i, in);
      });
  const bool picks = threadIdx.x == 0 && target >= 0;
  float picked = 0;
  if (!kStash && picks) picked = to_float(z[target]);  // before the row changes
  most = over_block(most, room, lowest, Max());
  if (kStash && picks) picked = to_float(held[target]);
  // For all threads or for none:
  if (a.each > 0) picked = a.own * picked + a.each * over_block(all, room);
  float total = 0;
  aligned.change(held, z, [&](T x, int /*i*/) {
    const float e = exponential<T>(to_float(x) - most);
    total += e;
    return from_float<T>(e);
  });
  total = over_block(total, room);
  if (threadIdx.x == 0) {
    a.max[row] = most;
    a.sum[row] = total;
    a.picked[row] = picked;
  }
}

struct Rescale {
  const float* global_max;
  const std::int32_t* targets;
  std::int64_t first_column;
  std::int64_t columns;
  std::int64_t rows;
  float* max;
  float* sum;
  float* picked;
  float own;
  float rest;  // what this rank's columns have together
};

__global__ void __launch_bounds__(kThreads) rescale_kernel(Rescale a) {
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (r >= a.rows) return;
  const float most = a.global_max[r];
  const std::int64_t at = a.targets[r] - a.first_column;
  a.picked[r] -= ((at >= 0 && at < a.columns ? a.own : 0.0F) + a.rest) * most;
  const float factor = expf(a.max[r] - most);
  a.max[r] = factor;
  a.sum[r] *= factor;
}

constexpr int kLossThreads = 1024;

/// Sums in one thread block, which fixes the order.
__global__ void __launch_bounds__(kLossThreads)
    loss_kernel(const float* sum, const float* picked, const std::int32_t* targets,
                std::int64_t rows, double* total, double* counted) {
  __shared__ double room[kMaxWarps];
  double loss = 0;
  double count = 0;
  for (std::int64_t r = threadIdx.x; r < rows; r += kLossThreads) {
    if (targets[r] < 0) continue;
    count += 1;
    loss += log(static_cast<double>(sum[r])) - static_cast<double>(picked[r]);
  }
  loss = over_block(loss, room);
  __syncthreads();  // the room is read before it is written anew
  count = over_block(count, room);
  if (threadIdx.x != 0) return;
  *total += loss;
  *counted += count;
}

template <class T>
struct Gradient {
  Matrix<T> z;
  int cols;
  const std::int32_t* targets;
  std::int64_t first_column;
  const float* factor;
  const float* sum;
  double scale;
  const double* scale_too;  // null for 1
  float own;
  float each;
};

/// Minimum traffic: 2 elements of T per element.
template <class T>
__global__ void __launch_bounds__(kThreads) gradient_kernel(Gradient<T> a) {
  const std::int64_t row = blockIdx.x;
  T* const z = a.z.at(row, 0);
  const auto all =
      static_cast<float>(a.scale_too == nullptr ? a.scale : a.scale * *a.scale_too);
  const float scale = a.targets[row] < 0 ? 0.0F : all;
  const float f = scale * a.factor[row] / a.sum[row];
  const int target = target_of(a.targets, row, a.first_column, a.cols);
  AlignedRow<T>(z, a.cols).change(z, z, [&](T x, int i) {
    return from_float<T>(to_float(x) * f - scale * (i == target ? a.own + a.each : a.each));
  });
}

template <class T>
struct Whole {
  Matrix<T> logits;
  int cols;
  const std::int32_t* targets;
  float* sum;
  float* picked;
  double scale;
  const double* scale_too;  // null for 1
};

/// Traffic: 2 elements of T per element. Exponentials are computed twice and never rounded.
template <class T>
__global__ void __launch_bounds__(kThreads) whole_kernel(Whole<T> a) {
  constexpr int N = kVector<T>;
  __shared__ float room[kMaxWarps];
  const std::int64_t row = blockIdx.x;
  T* const z = a.logits.at(row, 0);
  const AlignedRow<T> aligned(z, a.cols);
  T* const held = shared_memory<T>() + (N - aligned.head) % N;
  const int target = target_of(a.targets, row, 0, a.cols);
  float most = -INFINITY;
  aligned.visit(
      [&](int i) {
        most = fmaxf(most, to_float(z[i]));
        held[i] = z[i];
      },
      [&](int i) {
        const Pack<T, N> in = load<N>(z + i);
#pragma unroll
        for (int j = 0; j < N; ++j) most = fmaxf(most, to_float(in.at[j]));
        store(held + i, in);
      });
  most = over_block(most, room, -INFINITY, Max());
  const float picked = target >= 0 ? to_float(held[target]) - most : 0.0F;
  float total = 0;
  aligned.visit([&](int i) { total += exponential<T>(to_float(held[i]) - most); },
                [&](int i) {
                  const Pack<T, N> in = load<N>(held + i);
#pragma unroll
                  for (int j = 0; j < N; ++j) {
                    total += exponential<T>(to_float(in.at[j]) - most);
                  }
                });
  total = over_block(total, room);
  const auto all =
      static_cast<float>(a.scale_too == nullptr ? a.scale : a.scale * *a.scale_too);
  const float scale = a.targets[row] < 0 ? 0.0F : all;
  const float f = scale / total;
  aligned.change(held, z, [&](T x, int i) {
    const float e = exponential<T>(to_float(x) - most);
    return from_float<T>(e * f - (i == target ? scale : 0.0F));
  });
  if (threadIdx.x != 0) return;
  a.sum[row] = total;
  a.picked[row] = picked;
}

int columns_of(const ConstView& v) {
  TRM_CHECK(v.cols() <= std::numeric_limits<std::int32_t>::max(), "rows of {}", v.cols());
  return static_cast<int>(v.cols());
}

/// Dynamic shared memory per thread block that allows two thread blocks per multiprocessor.
std::int64_t stash_limit() {
  int device = 0;
  int per_processor = 0;
  int per_block = 0;
  TRM_CUDA(cudaGetDevice(&device));
  TRM_CUDA(cudaDeviceGetAttribute(&per_processor, cudaDevAttrMaxSharedMemoryPerMultiprocessor,
                                  device));
  TRM_CUDA(cudaDeviceGetAttribute(&per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  constexpr int kOwn = 2048;  // static memory, and what the system reserves per block
  return std::min(per_processor / 2, per_block) - kOwn;
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::SoftmaxLocal& op) {
  if (op.logits.rows() == 0) return;
  with_type(op.logits.dtype(), [&]<class T>(TypeTag<T>) {
    const Local<T> a{matrix<T>(op.logits),
                     columns_of(op.logits),
                     op.targets.data<std::int32_t>(),
                     op.first_column,
                     op.max.data<float>(),
                     op.sum.data<float>(),
                     op.picked.data<float>(),
                     static_cast<float>(op.smoothing.own()),
                     static_cast<float>(op.smoothing.each())};
    const dim3 grid(static_cast<unsigned>(op.logits.rows()));
    const std::int64_t stash =
        (op.logits.cols() + kVector<T>)*static_cast<std::int64_t>(sizeof(T));
    if (stash <= stash_limit()) {
      launch(local_kernel<T, true>, grid, dim3(kThreads), static_cast<std::size_t>(stash),
             native(s), a);
    } else {
      launch(local_kernel<T, false>, grid, dim3(kThreads), 0, native(s), a);
    }
  });
}

void CudaKernels::run(Stream& s, const ops::SoftmaxRescale& op) {
  const std::int64_t rows = op.global_max.count();
  if (rows == 0) return;
  launch(rescale_kernel, dim3(static_cast<unsigned>((rows + kThreads - 1) / kThreads)),
         dim3(kThreads), 0, native(s),
         Rescale{op.global_max.data<float>(), op.targets.data<std::int32_t>(), op.first_column,
                 op.columns, rows, op.max.data<float>(), op.sum.data<float>(),
                 op.picked.data<float>(), static_cast<float>(op.smoothing.own()),
                 static_cast<float>(op.smoothing.each() * static_cast<double>(op.columns))});
}

void CudaKernels::run(Stream& s, const ops::SoftmaxLoss& op) {
  if (op.sum.count() == 0) return;
  launch(loss_kernel, dim3(1), dim3(kLossThreads), 0, native(s), op.sum.data<float>(),
         op.picked.data<float>(), op.targets.data<std::int32_t>(), op.sum.count(),
         op.total.data<double>(), op.counted.data<double>());
}

/// Rows that don't fit shared memory take the separate kernels.
void CudaKernels::run(Stream& s, const ops::SoftmaxLossGradient& op) {
  const auto element = static_cast<std::int64_t>(size_of(op.logits.dtype()));
  const std::int64_t stash = op.logits.cols() * element + 16;
  if (op.logits.rows() == 0 || stash > stash_limit()) return Kernels::run(s, op);
  with_type(op.logits.dtype(), [&]<class T>(TypeTag<T>) {
    launch(
        whole_kernel<T>, dim3(static_cast<unsigned>(op.logits.rows())), dim3(kThreads),
        static_cast<std::size_t>(stash), native(s),
        Whole<T>{matrix<T>(op.logits), columns_of(op.logits), op.targets.data<std::int32_t>(),
                 op.sum.data<float>(), op.picked.data<float>(), op.scale,
                 op.scale_too.empty() ? nullptr : op.scale_too.data<double>()});
  });
  run(s, ops::SoftmaxLoss{.sum = op.sum,
                          .picked = op.picked,
                          .targets = op.targets,
                          .total = op.total,
                          .counted = op.counted});
}

void CudaKernels::run(Stream& s, const ops::SoftmaxGradient& op) {
  if (op.exponentials.count() == 0) return;
  with_type(op.exponentials.dtype(), [&]<class T>(TypeTag<T>) {
    launch(gradient_kernel<T>, dim3(static_cast<unsigned>(op.exponentials.rows())),
           dim3(kThreads), 0, native(s),
           Gradient<T>{matrix<T>(op.exponentials), columns_of(op.exponentials),
                       op.targets.data<std::int32_t>(), op.first_column,
                       op.factor.data<float>(), op.sum.data<float>(), op.scale,
                       op.scale_too.empty() ? nullptr : op.scale_too.data<double>(),
                       static_cast<float>(op.smoothing.own()),
                       static_cast<float>(op.smoothing.each())});
  });
}

}  // namespace trireme::cuda
