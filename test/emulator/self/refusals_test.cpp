// SPDX-License-Identifier: Apache-2.0
// Errors that a GPU may ignore end the program here, with the reason.
#include <boost/test/unit_test.hpp>

#include "../simt.cuh"
#include "array.hpp"
#include "dies.hpp"

using namespace trireme::cuda;

namespace {

__global__ void two_barriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void some_leave() {
  if (threadIdx.x < 32) __syncthreads();
}
__global__ void half_a_warp() {
  if (threadIdx.x < 16) __shfl_sync(0xffffffff, 1, 0);
}
__global__ void two_shuffles() {
  if (threadIdx.x < 16) {
    __shfl_sync(0xffffffff, 1, 0);
  } else {
    __shfl_sync(0xffffffff, 2, 0);
  }
}
__global__ void narrow_mask() { __shfl_sync(0xffff, 1, 0); }
__global__ void barrier_and_warp() {
  if (threadIdx.x == 0) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}
__global__ void one_thread_misses_a_barrier_turn(int* y) {
  for (unsigned i = 0; i < 2 + threadIdx.x / 32; ++i) __syncthreads();
  y[threadIdx.x] = 0;
}
__global__ void misaligned_copy(const float* x) {
  cp_async16(shared_memory<float>() + 4 * threadIdx.x, x + 1, true);
}
__global__ void misaligned_shared(const float* x) {
  cp_async16(shared_memory<float>() + 1, x, true);
}
__global__ void misaligned_matrix() {
  std::uint32_t r[4];
  ldmatrix4(r, shared_memory<float>() + 2);
}
__global__ void writes(float* y, unsigned index) { y[index] = threadIdx.x == 0 ? 1.0F : 2.0F; }
__global__ void past_shared(float* y) {
  y[0] = shared_memory<float>()[blockDim.x + threadIdx.x];
}
__global__ void empty() {}

template <class... Arguments>
std::string death(dim3 grid, dim3 block, std::size_t shared, void (*kernel)(Arguments...),
                  std::type_identity_t<Arguments>... arguments) {
  return message_of_death([&] {
    launch(kernel, grid, block, shared, nullptr, arguments...);
    cudaDeviceSynchronize();
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(barriers_that_not_all_threads_meet) {
  const Array<float> x(64);
  const Array<int> y(64);
  BOOST_TEST(contains(death(1, 64, 0, two_barriers), "different __syncthreads"));
  BOOST_TEST(contains(death(1, 64, 0, some_leave), "32 of 64 have ended"));
  BOOST_TEST(contains(death(1, 32, 0, half_a_warp), "__shfl_sync"));
  BOOST_TEST(contains(death(1, 32, 0, two_shuffles), "different operations"));
  BOOST_TEST(contains(death(1, 32, 0, narrow_mask), "mask 0xffff"));
  BOOST_TEST(contains(death(1, 32, 0, barrier_and_warp), "don't come"));
  BOOST_TEST(contains(death(1, 64, 0, one_thread_misses_a_barrier_turn, y.at), "don't come"));
}

BOOST_AUTO_TEST_CASE(addresses) {
  const Array<float> x(64);
  BOOST_TEST(contains(death(1, 32, 1024, misaligned_copy, x.at), "cp_async16's global"));
  BOOST_TEST(contains(death(1, 32, 1024, misaligned_shared, x.at), "cp_async16's shared"));
  BOOST_TEST(contains(death(1, 32, 1024, misaligned_matrix), "ldmatrix's address"));
  BOOST_TEST(contains(death(1, 32, 0, writes, x.at, 64U), "outside of its array"));
  BOOST_TEST(contains(death(1, 32, 128, past_shared, x.at), "outside of its array"));
  BOOST_TEST(death(1, 32, 0, writes, x.at, 63U) == "");
  float* freed = nullptr;
  cudaMalloc(reinterpret_cast<void**>(&freed), 4096);
  cudaFree(freed);
  BOOST_TEST(contains(death(1, 32, 0, writes, freed, 0U), "freed"));
}

BOOST_AUTO_TEST_CASE(launches) {
  BOOST_TEST(contains(death(1, 48, 0, empty), "multiple of 32"));
  BOOST_TEST(contains(death(1, 1056, 0, empty), "1 to 1024"));
  BOOST_TEST(contains(death(0, 32, 0, empty), "the grid is empty"));
  BOOST_TEST(contains(death(dim3(1, 65536), 32, 0, empty), "over 65535"));
  BOOST_TEST(contains(death(dim3(1, 1, 65536), 32, 0, empty), "over 65535"));
  BOOST_TEST(contains(death(1, 32, 227 * 1024 + 1, empty), "227 KiB"));
  BOOST_TEST(death(dim3(2, 1, 3), 1024, 227 * 1024, empty) == "");
  BOOST_TEST(contains(message_of_death([] {
                        cudaSetDevice(7);
                        launch(empty, 1, 32, 0, nullptr);
                      }),
                      "of an earlier call"));
}
