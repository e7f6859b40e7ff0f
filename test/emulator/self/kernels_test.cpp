// SPDX-License-Identifier: Apache-2.0
// The emulator's threads: barriers, shuffles, shared memory, copies, and each refusal.
#define BOOST_TEST_MODULE emulator
#include <numeric>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "../simt.cuh"
#include "array.hpp"

using namespace trireme::cuda;

namespace {

__global__ void indices(int* y) {
  const unsigned thread = threadIdx.x + blockDim.x * threadIdx.y;
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned i = block * blockDim.x * blockDim.y + thread;
  y[i] = static_cast<int>(i);
}

// Reverses x within each thread block into y, through shared memory.
template <bool WithBarrier>
__global__ void turn(const int* x, int* y) {
  int* tile = shared_memory<int>();
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  tile[threadIdx.x] = x[i];
  if (WithBarrier) __syncthreads();
  y[i] = tile[blockDim.x - 1 - threadIdx.x];
}

__global__ void sums(const float* x, float* y) {
  __shared__ float parts[32];
  const unsigned lane = threadIdx.x % 32;
  float sum = x[threadIdx.x];
  for (int i = 16; i > 0; i /= 2) sum += __shfl_xor_sync(0xffffffff, sum, i);
  if (lane == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = lane < blockDim.x / 32 ? parts[lane] : 0.0F;
    for (unsigned i = 16; i > 0; i /= 2) sum += __shfl_down_sync(0xffffffff, sum, i);
    if (lane == 0) y[0] = sum;
  }
}

__global__ void shuffles(int* y, double* z) {
  const int lane = static_cast<int>(threadIdx.x);
  y[lane] = __shfl_sync(0xffffffff, lane, 5);
  y[32 + lane] = __shfl_sync(0xffffffff, lane, 3, 8);
  y[64 + lane] = __shfl_up_sync(0xffffffff, lane, 2);
  y[96 + lane] = __shfl_down_sync(0xffffffff, lane, 2, 16);
  y[128 + lane] = __shfl_xor_sync(0xffffffff, lane, 7);
  y[160 + lane] = static_cast<int>(__ballot_sync(0xffffffff, lane % 3 == 0));
  y[192 + lane] = __any_sync(0xffffffff, lane == 9) + 2 * __all_sync(0xffffffff, lane == 9);
  z[lane] = __shfl_xor_sync(0xffffffff, lane + 0.1, 1);
}

__global__ void order_of_threads(int* order, int* count) {
  order[atomicAdd(count, 1)] = static_cast<int>(threadIdx.x);
}

template <bool Wait>
__global__ void copies(const float* x, float* y) {
  float* tile = shared_memory<float>();
  const unsigned t = threadIdx.x;
  cp_async16(tile + 4 * t, x + 4 * t, true);
  cp_async_commit();
  cp_async16(tile + 128 + 4 * t, x + 128 + 4 * t, t % 2 == 0);
  cp_async_commit();
  cp_async_wait<Wait ? 0 : 1>();
  __syncthreads();
  for (unsigned i = t; i < 256; i += 32) y[i] = tile[i];
}

__global__ void poisoned(float* y) { y[threadIdx.x] = shared_memory<float>()[threadIdx.x]; }

}  // namespace

BOOST_AUTO_TEST_CASE(every_thread_of_every_block_runs_once) {
  const Array<int> y(2 * 3 * 4 * 64);
  launch(indices, dim3(2, 3, 4), dim3(32, 2), 0, nullptr, y.at);
  std::vector<int> expected(y.size);
  std::iota(expected.begin(), expected.end(), 0);
  BOOST_TEST(y.get() == expected);
}

BOOST_AUTO_TEST_CASE(a_missing_barrier_shows) {
  const Array<int> x(512);
  const Array<int> y(512);
  std::vector<int> values(512);
  std::iota(values.begin(), values.end(), 0);
  x.set(values);
  std::vector<int> expected(512);
  for (int i = 0; i < 512; ++i) {
    expected[static_cast<std::size_t>(i)] = i / 256 * 256 + 255 - i % 256;
  }
  launch(turn<true>, 2, 256, 256 * sizeof(int), nullptr, x.at, y.at);
  BOOST_TEST(y.get() == expected);
  launch(turn<false>, 2, 256, 256 * sizeof(int), nullptr, x.at, y.at);
  BOOST_TEST(y.get() != expected);
}

BOOST_AUTO_TEST_CASE(sums_over_warps_and_blocks) {
  const Array<float> x(1024);
  const Array<float> y(1);
  x.set(std::vector<float>(1024, 0.5F));
  launch(sums, 1, 1024, 0, nullptr, x.at, y.at);
  BOOST_TEST(y.get()[0] == 512.0F);
}

BOOST_AUTO_TEST_CASE(shuffles_follow_their_widths) {
  const Array<int> y(224);
  const Array<double> z(32);
  launch(shuffles, 1, 32, 0, nullptr, y.at, z.at);
  const std::vector<int> got = y.get();
  for (int lane = 0; lane < 32; ++lane) {
    const auto l = static_cast<std::size_t>(lane);
    BOOST_TEST(got[l] == 5);
    BOOST_TEST(got[32 + l] == lane / 8 * 8 + 3);
    BOOST_TEST(got[64 + l] == (lane < 2 ? lane : lane - 2));
    BOOST_TEST(got[96 + l] == (lane % 16 >= 14 ? lane : lane + 2));
    BOOST_TEST(got[128 + l] == (lane ^ 7));
    BOOST_TEST(got[160 + l] == 0x49249249);
    BOOST_TEST(got[192 + l] == 1);
    BOOST_TEST(z.get()[l] == (lane ^ 1) + 0.1);
  }
}

BOOST_AUTO_TEST_CASE(the_order_of_threads_is_shuffled) {
  const Array<int> order(128);
  const Array<int> count(1);
  count.set({0});
  launch(order_of_threads, 1, 128, 0, nullptr, order.at, count.at);
  std::vector<int> got = order.get();
  BOOST_TEST(!std::is_sorted(got.begin(), got.end()));
  std::sort(got.begin(), got.end());
  std::vector<int> all(128);
  std::iota(all.begin(), all.end(), 0);
  BOOST_TEST(got == all);
}

BOOST_AUTO_TEST_CASE(copies_come_when_they_are_waited_for) {
  const Array<float> x(256);
  const Array<float> y(256);
  x.set(std::vector<float>(256, 1.0F));
  launch(copies<true>, 1, 32, 1024, nullptr, x.at, y.at);
  std::vector<float> got = y.get();
  for (std::size_t i = 0; i < 256; ++i) {
    BOOST_TEST(got[i] == (i < 128 || i / 4 % 2 == 0 ? 1.0F : 0.0F));
  }
  launch(copies<false>, 1, 32, 1024, nullptr, x.at, y.at);
  got = y.get();
  for (std::size_t i = 0; i < 256; ++i) {
    BOOST_TEST((i < 128 ? got[i] == 1.0F : std::isnan(got[i])));
  }
}

BOOST_AUTO_TEST_CASE(memory_is_poisoned) {
  const Array<float> fresh(100);
  for (const float v : fresh.get()) BOOST_TEST(std::isnan(v));
  const Array<float> y(32);
  y.set(std::vector<float>(32, 0.0F));
  launch(poisoned, 1, 32, 128, nullptr, y.at);
  for (const float v : y.get()) BOOST_TEST(std::isnan(v));
}

BOOST_AUTO_TEST_CASE(sorting_is_stable) {
  const Array<std::uint32_t> keys(5);
  const Array<std::uint32_t> values(5);
  const Array<std::uint32_t> sorted_keys(5);
  const Array<std::uint32_t> sorted_values(5);
  keys.set({3, 1, 3, 0, 1});
  values.set({0, 1, 2, 3, 4});
  const Array<std::byte> scratch(sort_scratch_bytes(5));
  sort_pairs(nullptr, scratch.at, scratch.size, keys.at, sorted_keys.at, values.at,
             sorted_values.at, 5, 2);
  BOOST_TEST(sorted_keys.get() == (std::vector<std::uint32_t>{0, 1, 1, 3, 3}));
  BOOST_TEST(sorted_values.get() == (std::vector<std::uint32_t>{3, 1, 4, 0, 2}));
}
