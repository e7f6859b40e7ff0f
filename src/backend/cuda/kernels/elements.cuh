// SPDX-License-Identifier: Apache-2.0
// Runs a job for each element of flat arrays whose types are looked up at run time. Pairs of
// sums over elements have a fixed order.
#pragma once

#include <algorithm>

#include "trireme/ops/step_state.hpp"

#include "../runtime/workspace.hpp"
#include "reduce.cuh"
#include "update.cuh"

namespace trireme::cuda {

inline constexpr int kElementThreads = 256;
inline constexpr std::int64_t kElementBlocks = 132 * 8;

__device__ __forceinline__ float get(const AnyArray& a, std::int64_t i) {
  float x[1];
  a.read(i, x);
  return x[0];
}
__device__ __forceinline__ void put(const AnyArray& a, std::int64_t i, float x) {
  if (a.data == nullptr) return;
  const float one[1] = {x};
  a.write(i, one);
}

inline const StepState* decided(const ConstView& state) {
  return state.empty() ? nullptr : reinterpret_cast<const StepState*>(state.data<double>());
}

inline unsigned blocks_for(std::int64_t n) {
  return static_cast<unsigned>(
      std::clamp<std::int64_t>((n + kElementThreads - 1) / kElementThreads, 1, kElementBlocks));
}

/// Calls job(i, state) for n elements where the step updates.
template <class Job>
__global__ void __launch_bounds__(kElementThreads)
    elements_kernel(Job job, std::int64_t n, const StepState* state) {
  if (state != nullptr && state->updated == 0) return;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kElementThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
       i < n; i += stride) {
    job(i, state);
  }
}
template <class Job>
void each_element(cudaStream_t stream, std::int64_t n, const StepState* state, const Job& job) {
  if (n == 0) return;
  launch(elements_kernel<Job>, dim3(blocks_for(n)), dim3(kElementThreads), 0, stream, job, n,
         state);
}

/// parts[2 b], parts[2 b + 1]: sums of job(i) over the elements of thread block b.
template <class Job>
__global__ void __launch_bounds__(kElementThreads)
    pairs_kernel(Job job, std::int64_t n, const StepState* state, double* parts) {
  __shared__ double room[kMaxWarps];
  double first = 0;
  double second = 0;
  if (state->updated != 0) {
    const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kElementThreads;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
         i < n; i += stride) {
      job(i, *state, first, second);
    }
  }
  first = over_block(first, room);
  second = over_block(second, room);
  if (threadIdx.x == 0) {
    parts[2 * blockIdx.x] = first;
    parts[2 * blockIdx.x + 1] = second;
  }
}
template <class = void>
__global__ void __launch_bounds__(kElementThreads)
    add_pairs_kernel(const double* parts, int count, double* sums) {
  __shared__ double room[kMaxWarps];
  double first = 0;
  double second = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kElementThreads) {
    first += parts[2 * i];
    second += parts[2 * i + 1];
  }
  first = over_block(first, room);
  second = over_block(second, room);
  if (threadIdx.x == 0) {
    sums[0] += first;
    sums[1] += second;
  }
}
template <class Job>
void add_pairs(cudaStream_t stream, Workspace& workspace, std::int64_t n,
               const ConstView& state, const View& sums, const Job& job) {
  if (n == 0) return;
  auto* const parts = static_cast<double*>(workspace.take(2 * kElementBlocks * sizeof(double)));
  const unsigned blocks = blocks_for(n);
  launch(pairs_kernel<Job>, dim3(blocks), dim3(kElementThreads), 0, stream, job, n,
         decided(state), parts);
  launch(add_pairs_kernel<>, dim3(1), dim3(kElementThreads), 0, stream, parts,
         static_cast<int>(blocks), sums.data<double>());
}

}  // namespace trireme::cuda
