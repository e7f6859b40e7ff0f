// SPDX-License-Identifier: Apache-2.0
// Looks up table rows. For gradients, positions are sorted by id: a warp adds up a run of one
// id in token order. Runs are split at fixed positions, and the pieces are added in order.
#include <algorithm>
#include <bit>

#include "../runtime/stream.hpp"
#include "../runtime/workspace.hpp"
#include "each.cuh"
#include "kernels.hpp"
#include "reduce.cuh"

namespace trireme::cuda {

namespace {

/// Works on bits of any type of this size. Minimum traffic: 2 elements of T per element.
template <class T>
struct Gather {
  const std::int32_t* ids;
  Matrix<const T> table;
  std::int64_t first_row;
  std::int64_t rows;
  Matrix<T> y;
  template <int N>
  __device__ Pack<T, N> load(std::int64_t r, std::int64_t c) const {
    const std::int64_t at = ids[r] - first_row;
    if (at >= 0 && at < rows) return cuda::load<N>(table.at(at, c));
    return Pack<T, N>{};
  }
  template <int N>
  __device__ void store(const Pack<T, N>& in, std::int64_t r, std::int64_t c) const {
    cuda::store(y.at(r, c), in);
  }
};

/// Minimum traffic: 3 elements of T per element; the table stays in the cache.
template <class T>
struct AddPositions {
  Matrix<const T> table;
  std::int64_t seq;
  std::int64_t first_row;
  Matrix<T> y;
  template <int N>
  struct Held {
    Pack<T, N> table;
    Pack<T, N> y;
  };
  template <int N>
  __device__ Held<N> load(std::int64_t r, std::int64_t c) const {
    return {cuda::load<N>(table.at((first_row + r) % seq, c)), cuda::load<N>(y.at(r, c))};
  }
  template <int N>
  __device__ void store(const Held<N>& in, std::int64_t r, std::int64_t c) const {
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      out.at[j] = from_float<T>(to_float(in.y.at[j]) + to_float(in.table.at[j]));
    }
    cuda::store(y.at(r, c), out);
  }
};

/// Adds to each row of the table, a position, the gradients of its samples in order.
template <class T, class To>
struct SumPositions {
  Matrix<const T> dy;
  std::int64_t rows;  // rows of dy
  std::int64_t seq;
  std::int64_t first_row;
  Matrix<To> dtable;
  template <int N>
  __device__ Pack<To, N> load(std::int64_t r, std::int64_t c) const {
    return cuda::load<N>(dtable.at(r, c));
  }
  template <int N>
  __device__ void store(const Pack<To, N>& before, std::int64_t r, std::int64_t c) const {
    std::int64_t row = (r - first_row % seq + seq) % seq;
    if (row >= rows) return;
    float sum[N];
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = to_float(before.at[j]);
#pragma unroll 4
    for (; row < rows; row += seq) {
      const Pack<T, N> in = cuda::load<N>(dy.at(row, c));
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += to_float(in.at[j]);
    }
    Pack<To, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out.at[j] = from_float<To>(sum[j]);
    cuda::store(dtable.at(r, c), out);
  }
};

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    key_kernel(const std::int32_t* ids, std::int64_t first_row, std::int64_t rows,
               std::int64_t count, std::uint32_t* keys, std::uint32_t* positions) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const std::int64_t at = ids[i] - first_row;
  keys[i] = static_cast<std::uint32_t>(at >= 0 && at < rows ? at : rows);
  positions[i] = static_cast<std::uint32_t>(i);
}

/// At most this many positions are sorted at once. More would only take workspace.
constexpr std::int64_t kMaxChunk = std::int64_t{1} << 16U;

/// Runs of one id are split at sorted positions that are multiples of kSegment.
constexpr std::int64_t kSegment = 64;

template <class T, class To>
struct Scatter {
  const std::uint32_t* keys;  // sorted
  const std::uint32_t* positions;
  std::int64_t count;
  Matrix<const T> dy;
  Matrix<To> dtable;
  std::int64_t rows;
  std::int64_t cols;
  /// [segments, 2, cols]: sums of pieces of split runs, by multiple of kSegment. For each, 0:
  /// the piece that continues an earlier run; 1: the piece that begins at the multiple or
  /// after.
  float* pieces;

  /// Reads row `key` of the table into `sum`.
  template <int N>
  __device__ __forceinline__ void read(std::uint32_t key, std::int64_t col,
                                       float (&sum)[N]) const {
    const Pack<To, N> in = load<N>(dtable.at(key, col));
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = to_float(in.at[j]);
  }
  template <int N>
  __device__ __forceinline__ void write(std::uint32_t key, std::int64_t col,
                                        const float (&sum)[N]) const {
    Pack<To, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out.at[j] = from_float<To>(sum[j]);
    store(dtable.at(key, col), out);
  }
  __device__ __forceinline__ float* piece(std::int64_t segment, int which,
                                          std::int64_t col) const {
    return pieces + (2 * segment + which) * cols + col;
  }
  /// Whether position `at` continues the run of the position before.
  __device__ __forceinline__ bool same_run(std::int64_t at) const {
    return at > 0 && at < count && keys[at - 1] == keys[at];
  }
};

/// A thread's work item, first column, and lane. `slices` warps share the columns of an item.
struct WarpPlace {
  std::int64_t item;
  std::int64_t col;
  int lane;
};
template <int N>
__device__ __forceinline__ WarpPlace warp_place(std::int64_t slices) {
  const std::int64_t warp =
      static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t item = warp / slices;
  return {item, ((warp - item * slices) * kWarp + lane) * N, lane};
}

/// Warp (i, slice) sums a run of one id, or a piece of the run, if it begins at i. Minimum
/// traffic: an element of T per element of dy, and twice the table rows that occur.
template <class T, class To, int N>
__global__ void __launch_bounds__(kThreads)
    scatter_kernel(Scatter<T, To> a, std::int64_t slices) {
  constexpr int kAtOnce = 8;
  const auto [begin, col, lane] = warp_place<N>(slices);
  if (begin >= a.count) return;
  const std::uint32_t key = a.keys[begin];
  if (key >= a.rows) return;
  const bool goes_on = a.same_run(begin);
  if (goes_on && begin % kSegment != 0) return;
  const std::int64_t segment = begin / kSegment;
  const std::int64_t end =
      (segment + 1) * kSegment < a.count ? (segment + 1) * kSegment : a.count;
  const bool ours = col < a.cols;
  float sum[N] = {};
  if (ours && !goes_on) a.read(key, col, sum);
  for (std::int64_t at = begin; at < end; at += kWarp) {
    const bool same = at + lane < end && a.keys[at + lane] == key;
    const std::uint32_t position = same ? a.positions[at + lane] : 0;
    const int run = __popc(__ballot_sync(kAllLanes, same));
    for (int first = 0; first < run; first += kAtOnce) {
      Pack<T, N> in[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const std::uint32_t row = __shfl_sync(kAllLanes, position, (first + i) % kWarp);
        if (ours && first + i < run) in[i] = load<N>(a.dy.at(row, col));
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (ours && first + i < run) {
#pragma unroll
          for (int j = 0; j < N; ++j) sum[j] += to_float(in[i].at[j]);
        }
      }
    }
    if (run < kWarp) break;
  }
  if (!ours) return;
  const bool is_split = goes_on || (end < a.count && a.keys[end] == key);
  if (!is_split) return a.write(key, col, sum);
  Pack<float, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out.at[j] = sum[j];
  store(a.piece(segment, goes_on ? 0 : 1, col), out);
}

/// Warp (segment, slice) adds up the pieces of a split run if the run begins at `segment` or
/// after.
template <class T, class To, int N>
__global__ void __launch_bounds__(kThreads) join_kernel(Scatter<T, To> a, std::int64_t slices) {
  constexpr int kAtOnce = 8;
  const auto [segment, col, lane] = warp_place<N>(slices);
  if ((segment + 1) * kSegment >= a.count || !a.same_run((segment + 1) * kSegment)) return;
  const std::uint32_t key = a.keys[(segment + 1) * kSegment];
  if (key >= a.rows) return;
  if (a.same_run(segment * kSegment) && a.keys[segment * kSegment] == key) {
    return;
  }  // an earlier run
  const bool ours = col < a.cols;
  float sum[N] = {};
  if (ours) {
    const Pack<float, N> in = load<N>(a.piece(segment, 1, col));
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = in.at[j];
  }
  for (std::int64_t at = segment + 1;; at += kWarp) {
    const bool same = (at + lane) * kSegment < a.count && a.keys[(at + lane) * kSegment] == key;
    const int run = __popc(__ballot_sync(kAllLanes, same));
    for (int first = 0; first < run; first += kAtOnce) {
      Pack<float, N> in[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (ours && first + i < run) in[i] = load<N>(a.piece(at + first + i, 0, col));
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (ours && first + i < run) {
#pragma unroll
          for (int j = 0; j < N; ++j) sum[j] += in[i].at[j];
        }
      }
    }
    if (run < kWarp) break;
  }
  if (ours) a.write(key, col, sum);
}

template <class T, class To, int N>
void launch_scatter(cudaStream_t stream, const Scatter<T, To>& a) {
  const std::int64_t slices = (a.cols + kWarp * N - 1) / (kWarp * N);
  const auto blocks = [&](std::int64_t items) {
    constexpr std::int64_t kWarps = kThreads / kWarp;
    return dim3(static_cast<unsigned>((items * slices + kWarps - 1) / kWarps));
  };
  launch(scatter_kernel<T, To, N>, blocks(a.count), dim3(kThreads), 0, stream, a, slices);
  const std::int64_t segments = (a.count - 1) / kSegment;  // inner multiples of kSegment
  if (segments == 0) return;
  launch(join_kernel<T, To, N>, blocks(segments), dim3(kThreads), 0, stream, a, slices);
}

/// Arrays in the workspace: keys and positions before and after sorting, and sums of pieces.
struct Sorted {
  std::uint32_t* keys;
  std::uint32_t* positions;
  std::uint32_t* sorted_keys;
  std::uint32_t* sorted_positions;
  float* pieces;
  void* scratch;
  std::size_t scratch_bytes;
};
constexpr std::size_t kAlign = 256;
constexpr std::size_t array_bytes(std::int64_t count) {
  return (static_cast<std::size_t>(count) * sizeof(std::uint32_t) + kAlign - 1) / kAlign *
         kAlign;
}
std::size_t pieces_bytes(std::int64_t count, std::int64_t cols) {
  return array_bytes((count + kSegment - 1) / kSegment * 2 * cols);
}
std::size_t sorted_bytes(std::int64_t count, std::int64_t cols) {
  return 4 * array_bytes(count) + pieces_bytes(count, cols) + sort_scratch_bytes(count);
}
Sorted sorted_in(const Workspace& workspace, std::int64_t count, std::int64_t cols) {
  auto* const memory = static_cast<std::byte*>(workspace.take(sorted_bytes(count, cols)));
  const auto array = [&](std::size_t i) {
    return reinterpret_cast<std::uint32_t*>(memory + i * array_bytes(count));
  };
  return {array(0),
          array(1),
          array(2),
          array(3),
          reinterpret_cast<float*>(array(4)),
          reinterpret_cast<std::byte*>(array(4)) + pieces_bytes(count, cols),
          sort_scratch_bytes(count)};
}

/// Calls f(To) for a gradient table of type To: T's or fp32.
template <class T, class F>
void with_table(const View& dtable, F&& f) {
  if (dtable.dtype() == DType::f32) return f(TypeTag<float>());
  if constexpr (!std::is_same_v<T, float>) f(TypeTag<T>());
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::EmbeddingForward& op) {
  const auto queue = [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    for_each<N>(native(s), extent_of({op.y}, false), vectors_fit({op.y, op.table}, N),
                Gather<T>{op.ids.data<std::int32_t>(), matrix<T>(op.table), op.first_row,
                          op.table.rows(), matrix<T>(op.y)});
  };
  if (size_of(op.y.dtype()) == 2) return queue(TypeTag<std::uint16_t>());
  TRM_CHECK(size_of(op.y.dtype()) == 4, "an embedding of {}", name_of(op.y.dtype()));
  queue(TypeTag<std::uint32_t>());
}

void CudaKernels::run(Stream& s, const ops::EmbeddingBackward& op) {
  const cudaStream_t stream = native(s);
  if (op.dy.count() == 0 || op.dtable.count() == 0) return;
  std::int64_t chunk = std::min(op.dy.rows(), kMaxChunk);
  while (chunk > 1 && sorted_bytes(chunk, op.dy.cols()) > Workspace::kBytes) {
    chunk = (chunk + 1) / 2;
  }
  const Sorted sorted = sorted_in(*workspace_, chunk, op.dy.cols());
  const int bits =
      static_cast<int>(std::bit_width(static_cast<std::uint64_t>(op.dtable.rows())));
  for (std::int64_t at = 0; at < op.dy.rows(); at += chunk) {
    const std::int64_t n = std::min(chunk, op.dy.rows() - at);
    launch(key_kernel, dim3(static_cast<unsigned>((n + kThreads - 1) / kThreads)),
           dim3(kThreads), 0, stream, op.ids.data<std::int32_t>() + at, op.first_row,
           op.dtable.rows(), n, sorted.keys, sorted.positions);
    sort_pairs(stream, sorted.scratch, sorted.scratch_bytes, sorted.keys, sorted.sorted_keys,
               sorted.positions, sorted.sorted_positions, n, bits);
    const ConstView part = op.dy.slice_rows(at, n);
    with_type(op.dy.dtype(), [&]<class T>(TypeTag<T>) {
      with_table<T>(op.dtable, [&]<class To>(TypeTag<To>) {
        constexpr int N = kVector<T>;
        const Scatter<T, To> scatter{sorted.sorted_keys,
                                     sorted.sorted_positions,
                                     n,
                                     matrix<T>(part),
                                     matrix<To>(op.dtable),
                                     op.dtable.rows(),
                                     op.dy.cols(),
                                     sorted.pieces};
        if (op.dy.cols() % N == 0 && vectors_fit({part, op.dtable}, N)) {
          launch_scatter<T, To, N>(stream, scatter);
        } else {
          launch_scatter<T, To, 1>(stream, scatter);
        }
      });
    });
  }
}

void CudaKernels::run(Stream& s, const ops::PositionsForward& op) {
  with_type(op.y.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    for_each<N>(native(s), extent_of({op.y}, false), vectors_fit({op.y, op.table}, N),
                AddPositions<T>{matrix<T>(op.table), op.seq, op.first_row, matrix<T>(op.y)});
  });
}

void CudaKernels::run(Stream& s, const ops::PositionsBackward& op) {
  with_type(op.dy.dtype(), [&]<class T>(TypeTag<T>) {
    with_table<T>(op.dtable, [&]<class To>(TypeTag<To>) {
      constexpr int N = kVector<T, To>;
      for_each<N>(native(s), {op.seq, op.dtable.cols()}, vectors_fit({op.dtable, op.dy}, N),
                  SumPositions<T, To>{matrix<T>(op.dy), op.dy.rows(), op.seq, op.first_row,
                                      matrix<To>(op.dtable)});
    });
  });
}

}  // namespace trireme::cuda
