// SPDX-License-Identifier: Apache-2.0
// Adds a bias to GEMMs whose epilogue can't. No path that matters for speed needs this kernel.
#include <algorithm>

#include "../kernels/types.cuh"
#include "bias_rows.hpp"
#include "simt.cuh"

namespace trireme::cuda {

namespace {

constexpr int kThreads = 256;

template <class T, class C>
__global__ void bias_kernel(const T* bias, C* c, std::int64_t rows, std::int64_t cols,
                            std::int64_t stride, bool accumulate) {
  const std::int64_t col = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (col >= cols) return;
  const float b = to_float(bias[col]);
  for (std::int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    C& to = c[row * stride + col];
    to = from_float<C>(accumulate ? to_float(to) + b : b);
  }
}

}  // namespace

void put_bias(cudaStream_t stream, const ConstView& bias, const View& c, bool accumulate) {
  const dim3 grid(static_cast<unsigned>((c.cols() + kThreads - 1) / kThreads),
                  static_cast<unsigned>(std::min<std::int64_t>(c.rows(), 1024)));
  with_type(bias.dtype(), [&](auto from) {
    using T = typename decltype(from)::type;
    const auto run = [&](auto to) {
      using C = typename decltype(to)::type;
      launch(bias_kernel<T, C>, grid, dim3(kThreads), 0, stream,
             static_cast<const T*>(bias.raw()), static_cast<C*>(c.raw()), c.rows(), c.cols(),
             c.row_stride(), accumulate);
    };
    if (c.dtype() == bias.dtype()) {
      run(TypeTag<T>());
    } else {
      TRM_CHECK(c.dtype() == DType::f32, "a bias of {} into {}", name_of(bias.dtype()),
                name_of(c.dtype()));
      run(TypeTag<float>());
    }
  });
}

}  // namespace trireme::cuda
