// SPDX-License-Identifier: Apache-2.0
// Column sums, sums of squares, and the search for values that aren't finite. Partial sums
// cover fixed ranges and are added in order.
#include <algorithm>

#include "../runtime/stream.hpp"
#include "../runtime/tuning.hpp"
#include "../runtime/workspace.hpp"
#include "columns.cuh"
#include "each.cuh"
#include "kernels.hpp"

namespace trireme::cuda {

namespace {

constexpr int kRowWarps = 8;  ///< warps of a thread block, which share the rows

/// Thread block (i, p) sums columns [32·N·i, 32·N·(i+1)) over the p-th range of rows. Minimum
/// traffic: an element of T per element.
template <class T, int N>
__global__ void __launch_bounds__(kWarp* kRowWarps)
    column_parts_kernel(Matrix<const T> x, std::int64_t rows, std::int64_t cols,
                        std::int64_t rows_per_part, float* parts) {
  __shared__ float room[kRowWarps][kWarp * N];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kWarp * N;
  const std::int64_t col = first + lane * N;
  const std::int64_t begin = blockIdx.y * rows_per_part;
  const std::int64_t end = begin + rows_per_part < rows ? begin + rows_per_part : rows;
  float sum[N] = {};
  if (col + N <= cols) {
#pragma unroll 4
    for (std::int64_t row = begin + warp; row < end; row += kRowWarps) {
      const Pack<T, N> in = load<N>(x.at(row, col));
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += to_float(in.at[j]);
    }
  } else {
    for (std::int64_t row = begin + warp; row < end; row += kRowWarps) {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        if (col + j < cols) sum[j] += to_float(*x.at(row, col + j));
      }
    }
  }
#pragma unroll
  for (int j = 0; j < N; ++j) room[warp][lane * N + j] = sum[j];
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.x); c < kWarp * N; c += kWarp * kRowWarps) {
    float total = 0;
#pragma unroll
    for (int w = 0; w < kRowWarps; ++w) total += room[w][c];
    if (first + c < cols) parts[blockIdx.y * cols + first + c] = total;
  }
}

template <class T, int N>
void column_parts(cudaStream_t stream, const ConstView& x, int count, std::int64_t per_part,
                  float* parts) {
  constexpr std::int64_t kCols = kWarp * N;
  const dim3 grid(static_cast<unsigned>((x.cols() + kCols - 1) / kCols),
                  static_cast<unsigned>(count));
  launch(column_parts_kernel<T, N>, grid, dim3(kWarp * kRowWarps), 0, stream, matrix<T>(x),
         x.rows(), x.cols(), per_part, parts);
}

constexpr int kThreads = 256;
constexpr int kSteps = 4;  ///< vectors that a thread reads at once
constexpr int kMaxBlocks =
    132 * 8;  ///< thread blocks of a pass; 2048 threads per H100 multiprocessor

/// Calls body(element, its index) for all elements of x. Each thread has a fixed order.
template <int N, class T, class F>
__device__ __forceinline__ void visit(const Matrix<const T>& x, const Extent& extent,
                                      F&& body) {
  const std::int64_t per_row = (extent.cols + N - 1) / N;
  const std::int64_t total = extent.rows * per_row;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
       at < total; at += kSteps * stride) {
    Pack<T, N> held[kSteps];
    Place place[kSteps];
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      place[i] = {0, extent.cols};
      if (at + i * stride < total) {
        place[i] = place_of<N>(at + i * stride, extent.rows, per_row);
      }
      if (place[i].col + N <= extent.cols) held[i] = load<N>(x.at(place[i].row, place[i].col));
    }
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const Place p = place[i];
      const std::int64_t number = p.row * extent.cols + p.col;
      if (p.col + N <= extent.cols) {
#pragma unroll
        for (int j = 0; j < N; ++j) body(to_float(held[i].at[j]), number + j);
      } else {
        for (std::int64_t c = p.col; c < extent.cols; ++c) {
          body(to_float(*x.at(p.row, c)), number + c - p.col);
        }
      }
    }
  }
}

/// Minimum traffic: an element of T per element.
template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    square_parts_kernel(Matrix<const T> x, Extent extent, double* parts) {
  __shared__ double room[kMaxWarps];
  double sum = 0;
  visit<N>(x, extent, [&](float value, std::int64_t) {
    const double wide = value;
    sum = fma(wide, wide, sum);
  });
  sum = over_block(sum, room);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads)
    add_squares_kernel(const double* parts, int count, double* total) {
  __shared__ double room[kMaxWarps];
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) sum += parts[i];
  sum = over_block(sum, room);
  if (threadIdx.x == 0) *total += sum;
}

__device__ __forceinline__ bool finite(float x) { return fabsf(x) <= 3.402823466e38F; }

/// least ← min(least, i), with i the index of the first value that isn't finite.
template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    first_non_finite_kernel(Matrix<const T> x, Extent extent, unsigned long long* least) {
  unsigned long long mine = ~0ULL;
  visit<N>(x, extent, [&](float value, std::int64_t number) {
    const auto at = static_cast<unsigned long long>(number);
    if (!finite(value) && at < mine) mine = at;
  });
  if (mine != ~0ULL) atomicMin(least, mine);
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    note_non_finite_kernel(Matrix<const T> x, Extent extent, long long code, long long* least) {
  bool found = false;
  visit<N>(x, extent, [&](float value, std::int64_t) { found = found || !finite(value); });
  if (__any_sync(kAllLanes, found) != 0 && threadIdx.x % kWarp == 0) atomicMin(least, code);
}

/// Calls f<T, vector width>(extent, thread blocks) for a pass over x.
template <class F>
void with_pass(const ConstView& x, F&& f) {
  const Extent extent = extent_of({x});
  with_type(x.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    const bool vectors = vectors_fit(x, N, extent.rows == 1);
    const std::int64_t per_row = vectors ? (extent.cols + N - 1) / N : extent.cols;
    const std::int64_t wanted = (extent.rows * per_row + kThreads - 1) / kThreads;
    const auto blocks = static_cast<int>(std::min<std::int64_t>(wanted, kMaxBlocks));
    if (vectors) {
      f.template operator()<T, N>(extent, blocks);
    } else {
      f.template operator()<T, 1>(extent, blocks);
    }
  });
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::AccumulateRows& op) {
  if (op.sum.empty() || op.x.count() == 0) return;
  const cudaStream_t stream = native(s);
  with_type(op.x.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    const bool vectors = vectors_fit(op.x, N);
    const std::int64_t wide = (op.x.cols() + kWarp * N - 1) / (kWarp * N);
    // Eight thread blocks per multiprocessor of an H100, each with enough rows for its warps.
    const std::int64_t wanted = std::min((kMaxBlocks + wide - 1) / wide,
                                         (op.x.rows() + 4 * kRowWarps - 1) / (4 * kRowWarps));
    const std::int64_t fits =
        static_cast<std::int64_t>(Workspace::kBytes / sizeof(float)) / op.x.cols();
    const std::int64_t limit = std::max<std::int64_t>(
        1, std::min({wanted, fits, std::int64_t{tuning_->column_parts}}));
    const std::int64_t per_part = (op.x.rows() + limit - 1) / limit;
    const auto count = static_cast<int>((op.x.rows() + per_part - 1) / per_part);
    auto* const parts = static_cast<float*>(
        workspace_->take(static_cast<std::size_t>(count * op.x.cols()) * sizeof(float)));
    if (vectors) {
      column_parts<T, N>(stream, op.x, count, per_part, parts);
    } else {
      column_parts<T, 1>(stream, op.x, count, per_part, parts);
    }
    add_parts(stream, parts, count, op.x.cols(), op.sum);
  });
}

void CudaKernels::run(Stream& s, const ops::AccumulateSquares& op) {
  if (op.x.count() == 0) return;
  auto* const parts = static_cast<double*>(workspace_->take(kMaxBlocks * sizeof(double)));
  with_pass(op.x, [&]<class T, int N>(const Extent& extent, int blocks) {
    launch(square_parts_kernel<T, N>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
           native(s), matrix<T>(op.x), extent, parts);
    launch(add_squares_kernel, dim3(1), dim3(kThreads), 0, native(s), parts, blocks,
           op.total.data<double>());
  });
}

std::int64_t CudaKernels::first_non_finite(Stream& s, const ConstView& x) {
  if (x.count() == 0) return -1;
  const cudaStream_t stream = native(s);
  auto* const least =
      static_cast<unsigned long long*>(workspace_->take(sizeof(unsigned long long)));
  TRM_CUDA(cudaMemsetAsync(least, 0xff, sizeof(*least), stream));
  with_pass(x, [&]<class T, int N>(const Extent& extent, int blocks) {
    launch(first_non_finite_kernel<T, N>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
           0, stream, matrix<T>(x), extent, least);
  });
  unsigned long long found = 0;
  TRM_CUDA(cudaMemcpyAsync(&found, least, sizeof(found), cudaMemcpyDeviceToHost, stream));
  TRM_CUDA(cudaStreamSynchronize(stream));
  return static_cast<std::int64_t>(found);  // −1 if all bits are set
}

void CudaKernels::run(Stream& s, const ops::NoteNonFinite& op) {
  if (op.x.count() == 0) return;
  static_assert(sizeof(long long) == sizeof(std::int64_t));
  with_pass(op.x, [&]<class T, int N>(const Extent& extent, int blocks) {
    launch(note_non_finite_kernel<T, N>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
           native(s), matrix<T>(op.x), extent, op.code,
           reinterpret_cast<long long*>(op.least.data<std::int64_t>()));
  });
}

}  // namespace trireme::cuda
