// SPDX-License-Identifier: Apache-2.0
// The emulated runtime: streams that delay work as long as allowed, memory, and devices set in
// the environment.
#include <cstdlib>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "../simt.cuh"
#include "array.hpp"
#include "dies.hpp"

using namespace trireme::cuda;

namespace {

struct Stream {
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    cudaStreamCreateWithFlags(&native, flags);
  }
  ~Stream() { cudaStreamDestroy(native); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t native = nullptr;
};

struct Pinned {
  explicit Pinned(std::size_t count) {
    cudaMallocHost(reinterpret_cast<void**>(&at), count * sizeof(float));
  }
  ~Pinned() { cudaFreeHost(at); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  float* at = nullptr;
};

__global__ void put(float* y, float value) { y[threadIdx.x] = value; }
__global__ void twice(const float* x, float* y) { y[threadIdx.x] = 2 * x[threadIdx.x]; }

// Runs code with an environment variable in a process of its own.
template <class F>
bool holds_with(const char* name, const char* value, F&& condition) {
  return contains(message_of_death([&] {
                    setenv(name, value, 1);
                    if (condition()) trireme::emulator::fatal("it holds");
                  }),
                  "it holds");
}

}  // namespace

BOOST_AUTO_TEST_CASE(work_waits_for_the_host) {
  const Stream s;
  const Array<float> y(32);
  const Pinned host(32);
  host.at[0] = 5;
  launch(put, 1, 32, 0, s.native, y.at, 3.0F);
  cudaMemcpyAsync(host.at, y.at, 128, cudaMemcpyDeviceToHost, s.native);
  BOOST_TEST(host.at[0] == 5);
  BOOST_TEST(cudaStreamSynchronize(s.native) == cudaSuccess);
  BOOST_TEST(host.at[0] == 3);
}

BOOST_AUTO_TEST_CASE(pageable_memory_is_read_at_once_and_pinned_memory_late) {
  const Stream s;
  const Array<float> y(2);
  const Pinned pinned(1);
  std::vector<float> pageable{1};
  pinned.at[0] = 1;
  cudaMemcpyAsync(y.at, pageable.data(), 4, cudaMemcpyHostToDevice, s.native);
  cudaMemcpyAsync(y.at + 1, pinned.at, 4, cudaMemcpyHostToDevice, s.native);
  pageable[0] = pinned.at[0] = 2;
  cudaStreamSynchronize(s.native);
  BOOST_TEST(y.get() == (std::vector<float>{1, 2}));
  // A copy to pageable memory ends before the call returns.
  cudaMemcpyAsync(pageable.data(), y.at, 4, cudaMemcpyDeviceToHost, s.native);
  BOOST_TEST(pageable[0] == 1);
}

BOOST_AUTO_TEST_CASE(a_missing_event_shows_and_an_event_orders) {
  const Array<float> x(32);
  const Array<float> y(32);
  int wrong = 0;
  for (int i = 0; i < 40; ++i) {
    const bool with_event = i % 2 == 0;
    const Stream a;
    const Stream b;
    cudaEvent_t event = nullptr;
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    cudaMemset(x.at, 0, 128);
    cudaDeviceSynchronize();
    launch(put, 1, 32, 0, a.native, x.at, 3.0F);
    cudaEventRecord(event, a.native);
    if (with_event) cudaStreamWaitEvent(b.native, event, 0);
    launch(twice, 1, 32, 0, b.native, x.at, y.at);
    cudaStreamSynchronize(b.native);
    const bool right = y.get()[7] == 6;
    if (with_event) BOOST_TEST(right);
    if (!right) ++wrong;
    cudaEventDestroy(event);
    cudaDeviceSynchronize();
  }
  BOOST_TEST(wrong > 0);
}

BOOST_AUTO_TEST_CASE(the_default_stream_orders_blocking_streams_alone) {
  const Array<float> y(32);
  const Stream blocking(cudaStreamDefault);
  launch(put, 1, 32, 0, blocking.native, y.at, 1.0F);
  launch(put, 1, 32, 0, nullptr, y.at, 2.0F);
  launch(put, 1, 32, 0, blocking.native, y.at, 3.0F);
  cudaStreamSynchronize(blocking.native);
  BOOST_TEST(y.get()[0] == 3);
  const Stream free;
  const Pinned host(1);
  host.at[0] = 0;
  launch(put, 1, 32, 0, free.native, y.at, 4.0F);
  cudaMemcpyAsync(host.at, y.at, 4, cudaMemcpyDeviceToHost, nullptr);
  cudaStreamSynchronize(nullptr);
  BOOST_TEST((host.at[0] == 3 || host.at[0] == 4));
  cudaDeviceSynchronize();
}

BOOST_AUTO_TEST_CASE(events_tell_when_and_host_functions_may_not_call) {
  const Stream s;
  const Array<float> y(32);
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  BOOST_TEST(cudaEventQuery(begin) == cudaSuccess);  // never recorded, which counts as done
  cudaEventRecord(begin, s.native);
  launch(put, 1, 32, 0, s.native, y.at, 1.0F);
  cudaError_t code = cudaSuccess;
  cudaLaunchHostFunc(
      s.native,
      [](void* to) {
        *static_cast<cudaError_t*>(to) = cudaDeviceSynchronize();
        cudaGetLastError();
      },
      &code);
  cudaEventRecord(end, s.native);
  float ms = -1;
  BOOST_TEST(cudaEventElapsedTime(&ms, begin, end) == cudaErrorNotReady);
  while (cudaEventQuery(end) == cudaErrorNotReady) {
  }
  BOOST_TEST(cudaGetLastError() == cudaErrorNotReady);
  BOOST_TEST(cudaEventElapsedTime(&ms, begin, end) == cudaSuccess);
  BOOST_TEST(ms >= 0);
  BOOST_TEST(code == cudaErrorNotPermitted);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
}

BOOST_AUTO_TEST_CASE(copies_stay_within_arrays_of_their_kind) {
  const Array<float> y(8);
  std::vector<float> host(16);
  BOOST_TEST(cudaMemcpy(y.at, host.data(), 33, cudaMemcpyHostToDevice) ==
             cudaErrorInvalidValue);
  BOOST_TEST(cudaMemcpy(y.at, host.data(), 8, cudaMemcpyDeviceToDevice) ==
             cudaErrorInvalidValue);
  BOOST_TEST(cudaMemset(host.data(), 0, 4) == cudaErrorInvalidValue);
  cudaGetLastError();
  for (int i = 0; i < 16; ++i) host[static_cast<std::size_t>(i)] = static_cast<float>(i);
  BOOST_TEST(cudaMemcpy2D(y.at, 8, host.data(), 16, 8, 4, cudaMemcpyDefault) == cudaSuccess);
  BOOST_TEST(y.get() == (std::vector<float>{0, 1, 4, 5, 8, 9, 12, 13}));
}

BOOST_AUTO_TEST_CASE(memory_is_counted_and_ends) {
  BOOST_TEST(holds_with("TRIREME_EMULATED_MEMORY", "1000000", [] {
    void* p = nullptr;
    void* q = nullptr;
    std::size_t free = 0;
    std::size_t total = 0;
    const bool first = cudaMalloc(&p, 600000) == cudaSuccess;
    const bool second = cudaMalloc(&q, 600000) == cudaErrorMemoryAllocation;
    cudaMemGetInfo(&free, &total);
    cudaFree(p);
    return first && second && q == nullptr && free == 400000 && total == 1000000 &&
           cudaMalloc(&q, 600000) == cudaSuccess;
  }));
  void* p = nullptr;
  const Stream s;
  BOOST_TEST(cudaMallocAsync(&p, 4096, s.native) == cudaSuccess);
  BOOST_TEST(cudaMemsetAsync(p, 0, 4096, s.native) == cudaSuccess);
  BOOST_TEST(cudaFreeAsync(p, s.native) == cudaSuccess);
  BOOST_TEST(cudaStreamSynchronize(s.native) == cudaSuccess);
  BOOST_TEST(cudaFree(p) == cudaErrorInvalidValue);
  cudaGetLastError();
}

BOOST_AUTO_TEST_CASE(devices_of_the_environment) {
  cudaDeviceProp p;
  BOOST_TEST(cudaGetDeviceProperties(&p, 0) == cudaSuccess);
  BOOST_TEST(p.major == 9);
  BOOST_TEST(p.multiProcessorCount == 132);
  int count = -1;
  BOOST_TEST(cudaGetDeviceCount(&count) == cudaSuccess);
  BOOST_TEST(count == 1);
  BOOST_TEST(cudaSetDevice(1) == cudaErrorInvalidDevice);
  cudaGetLastError();
  BOOST_TEST(holds_with("TRIREME_EMULATED_DEVICES", "2",
                        [] { return cudaSetDevice(1) == cudaSuccess; }));
  BOOST_TEST(holds_with("TRIREME_EMULATED_DEVICES", "0", [] {
    int n = -1;
    return cudaGetDeviceCount(&n) == cudaErrorNoDevice && n == 0;
  }));
  for (const char* driver : {"0", "11080"}) {
    BOOST_TEST(holds_with("TRIREME_EMULATED_DRIVER", driver, [] {
      void* q = nullptr;
      return cudaMalloc(&q, 16) == cudaErrorInsufficientDriver;
    }));
  }
  BOOST_TEST(holds_with("TRIREME_EMULATED_CAPABILITY", "7.5", [] {
    int minor = 0;
    return cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0) ==
               cudaSuccess &&
           minor == 5;
  }));
}
