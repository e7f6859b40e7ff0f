// SPDX-License-Identifier: Apache-2.0
// Table look-ups. Gradients are gathered by sorted id: a warp has the whole run of one id and
// adds it up in the order of its tokens.
#include <algorithm>
#include <bit>

#include "each.cuh"
#include "kernels.hpp"
#include "reduce.cuh"
#include "stream.hpp"
#include "workspace.hpp"

namespace trireme::cuda {

namespace {

/// Bits of any type of that size. Floor: 2 elements of T an element.
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

/// Floor: 3 elements of T an element; the table stays in the cache.
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

/// A row of the table is a position; its samples are added in their order.
template <class T, class To>
struct SumPositions {
  Matrix<const T> dy;
  std::int64_t rows;  // of dy
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

template <class T, class To>
struct Scatter {
  const std::uint32_t* keys;  // sorted
  const std::uint32_t* positions;
  std::int64_t count;
  Matrix<const T> dy;
  Matrix<To> dtable;
  std::int64_t rows;
  std::int64_t cols;
};

/// Warp (i, slice): where a run of one id begins at i, columns of its sum. Floor: an element of
/// T an element of dy, and twice the rows of the table that are met.
template <class T, class To, int N>
__global__ void __launch_bounds__(kThreads)
    scatter_kernel(Scatter<T, To> a, std::int64_t slices) {
  constexpr int kAtOnce = 8;
  const std::int64_t warp =
      static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t begin = warp / slices;
  if (begin >= a.count) return;
  const std::uint32_t key = a.keys[begin];
  if (key >= a.rows || (begin > 0 && a.keys[begin - 1] == key)) return;
  const std::int64_t col = ((warp - begin * slices) * kWarp + lane) * N;
  const bool ours = col < a.cols;
  float sum[N] = {};
  if (ours) {
    const Pack<To, N> before = load<N>(a.dtable.at(key, col));
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = to_float(before.at[j]);
  }
  for (std::int64_t at = begin;; at += kWarp) {
    const bool same = at + lane < a.count && a.keys[at + lane] == key;
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
  Pack<To, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out.at[j] = from_float<To>(sum[j]);
  store(a.dtable.at(key, col), out);
}

template <class T, class To, int N>
void launch_scatter(cudaStream_t stream, const Scatter<T, To>& a) {
  const std::int64_t slices = (a.cols + kWarp * N - 1) / (kWarp * N);
  constexpr std::int64_t kWarps = kThreads / kWarp;
  launch(scatter_kernel<T, To, N>,
         dim3(static_cast<unsigned>((a.count * slices + kWarps - 1) / kWarps)), dim3(kThreads),
         0, stream, a, slices);
}

/// Keys and positions, as they are and sorted, in the workspace.
struct Sorted {
  std::uint32_t* keys;
  std::uint32_t* positions;
  std::uint32_t* sorted_keys;
  std::uint32_t* sorted_positions;
  void* scratch;
  std::size_t scratch_bytes;
};
constexpr std::size_t kAlign = 256;
constexpr std::size_t array_bytes(std::int64_t count) {
  return (static_cast<std::size_t>(count) * sizeof(std::uint32_t) + kAlign - 1) / kAlign *
         kAlign;
}
std::size_t sorted_bytes(std::int64_t count) {
  return 4 * array_bytes(count) + sort_scratch_bytes(count);
}
Sorted sorted_in(const Workspace& workspace, std::int64_t count) {
  auto* const memory = static_cast<std::byte*>(workspace.take(sorted_bytes(count)));
  const auto array = [&](std::size_t i) {
    return reinterpret_cast<std::uint32_t*>(memory + i * array_bytes(count));
  };
  return {array(0), array(1), array(2), array(3), array(4), sort_scratch_bytes(count)};
}

/// f(To) for a gradient table of T's type or fp32.
template <class T, class F>
void with_table(const View& dtable, F&& f) {
  if (dtable.dtype() == DType::f32) return f(TypeTag<float>());
  if constexpr (!std::is_same_v<T, float>) f(TypeTag<T>());
}

}  // namespace

void CudaKernels::embedding_forward(Stream& s, const ConstView& ids, const ConstView& table,
                                    std::int64_t first_row, const View& y) {
  const auto run = [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    for_each<N>(native(s), extent_of({y}, false), vectors_fit({y, table}, N),
                Gather<T>{ids.data<std::int32_t>(), matrix<T>(table), first_row, table.rows(),
                          matrix<T>(y)});
  };
  if (size_of(y.dtype()) == 2) return run(TypeTag<std::uint16_t>());
  TRM_CHECK(size_of(y.dtype()) == 4, "an embedding of {}", name_of(y.dtype()));
  run(TypeTag<std::uint32_t>());
}

void CudaKernels::embedding_backward(Stream& s, const ConstView& ids, const ConstView& dy,
                                     std::int64_t first_row, const View& dtable) {
  const cudaStream_t stream = native(s);
  if (dy.count() == 0 || dtable.count() == 0) return;
  std::int64_t chunk = dy.rows();
  while (sorted_bytes(chunk) > Workspace::kBytes) chunk = (chunk + 1) / 2;
  const Sorted sorted = sorted_in(*workspace_, chunk);
  const int bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(dtable.rows())));
  for (std::int64_t at = 0; at < dy.rows(); at += chunk) {
    const std::int64_t n = std::min(chunk, dy.rows() - at);
    launch(key_kernel, dim3(static_cast<unsigned>((n + kThreads - 1) / kThreads)),
           dim3(kThreads), 0, stream, ids.data<std::int32_t>() + at, first_row, dtable.rows(),
           n, sorted.keys, sorted.positions);
    sort_pairs(stream, sorted.scratch, sorted.scratch_bytes, sorted.keys, sorted.sorted_keys,
               sorted.positions, sorted.sorted_positions, n, bits);
    const ConstView part = dy.slice_rows(at, n);
    with_type(dy.dtype(), [&]<class T>(TypeTag<T>) {
      with_table<T>(dtable, [&]<class To>(TypeTag<To>) {
        constexpr int N = kVector<T>;
        const Scatter<T, To> scatter{sorted.sorted_keys, sorted.sorted_positions, n,
                                     matrix<T>(part),    matrix<To>(dtable),      dtable.rows(),
                                     dy.cols()};
        if (dy.cols() % N == 0 && vectors_fit({part, dtable}, N)) {
          launch_scatter<T, To, N>(stream, scatter);
        } else {
          launch_scatter<T, To, 1>(stream, scatter);
        }
      });
    });
  }
}

void CudaKernels::positions_forward(Stream& s, const ConstView& table, std::int64_t seq,
                                    std::int64_t first_row, const View& y) {
  with_type(y.dtype(), [&]<class T>(TypeTag<T>) {
    constexpr int N = kVector<T>;
    for_each<N>(native(s), extent_of({y}, false), vectors_fit({y, table}, N),
                AddPositions<T>{matrix<T>(table), seq, first_row, matrix<T>(y)});
  });
}

void CudaKernels::positions_backward(Stream& s, const ConstView& dy, std::int64_t seq,
                                     std::int64_t first_row, const View& dtable) {
  with_type(dy.dtype(), [&]<class T>(TypeTag<T>) {
    with_table<T>(dtable, [&]<class To>(TypeTag<To>) {
      constexpr int N = kVector<T, To>;
      for_each<N>(
          native(s), {seq, dtable.cols()}, vectors_fit({dtable, dy}, N),
          SumPositions<T, To>{matrix<T>(dy), dy.rows(), seq, first_row, matrix<To>(dtable)});
    });
  });
}

}  // namespace trireme::cuda
