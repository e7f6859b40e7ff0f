// SPDX-License-Identifier: Apache-2.0
// Captures of the emulated runtime: what they keep, and what breaks them.
#include <thread>

#include <boost/test/unit_test.hpp>

#include "../simt.cuh"
#include "array.hpp"
#include "dies.hpp"

using namespace trireme::cuda;

namespace {

class Stream {
 public:
  Stream() { cudaStreamCreateWithFlags(&native, cudaStreamNonBlocking); }
  ~Stream() { cudaStreamDestroy(native); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t native = nullptr;
};

class Event {
 public:
  Event() { cudaEventCreate(&native); }
  ~Event() { cudaEventDestroy(native); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t native = nullptr;
};

__global__ void put(float* y, float value) { y[threadIdx.x] = value; }
__global__ void twice(const float* x, float* y) { y[threadIdx.x] = 2 * x[threadIdx.x]; }

struct Outcome {
  cudaError_t call;
  cudaError_t end;
  friend bool operator==(const Outcome&, const Outcome&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Outcome& o) {
    return out << o.call << ", at the end " << o.end;
  }
};

/// Results of a call during a stream's capture, and of the capture's end.
template <class F>
Outcome within(cudaStreamCaptureMode mode, F call) {
  const Stream s;
  const Array<float> y(32);
  cudaStreamBeginCapture(s.native, mode);
  launch(put, 1, 32, 0, s.native, y.at, 1.0F);
  Outcome outcome{call(s.native), cudaSuccess};
  cudaGetLastError();
  cudaGraph_t graph = nullptr;
  outcome.end = cudaStreamEndCapture(s.native, &graph);
  cudaGetLastError();
  BOOST_TEST((graph != nullptr) == (outcome.end == cudaSuccess));
  if (graph != nullptr) cudaGraphDestroy(graph);
  return outcome;
}

constexpr auto kLocal = cudaStreamCaptureModeThreadLocal;
constexpr Outcome kRefused{cudaErrorStreamCaptureUnsupported,
                           cudaErrorStreamCaptureInvalidated};
constexpr Outcome kFine{cudaSuccess, cudaSuccess};

}  // namespace

BOOST_AUTO_TEST_CASE(a_graph_runs_when_it_is_launched_and_as_often) {
  const Stream a;
  const Stream b;
  const Array<float> x(32);
  const Array<float> y(32);
  const Event forked;
  const Event joined;
  cudaMemsetAsync(y.at, 0, 128, a.native);
  cudaStreamBeginCapture(a.native, kLocal);
  launch(put, 1, 32, 0, a.native, x.at, 4.0F);
  cudaEventRecord(forked.native, a.native);
  cudaStreamWaitEvent(b.native, forked.native, 0);
  launch(twice, 1, 32, 0, b.native, x.at, y.at);
  cudaEventRecord(joined.native, b.native);
  cudaStreamWaitEvent(a.native, joined.native, 0);
  cudaGraph_t graph = nullptr;
  BOOST_TEST(cudaStreamEndCapture(a.native, &graph) == cudaSuccess);
  cudaGraphExec_t executable = nullptr;
  BOOST_TEST(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
  BOOST_TEST(cudaGraphUpload(executable, a.native) == cudaSuccess);
  cudaGraphDestroy(graph);
  BOOST_TEST(cudaStreamSynchronize(a.native) == cudaSuccess);
  BOOST_TEST(y.get()[0] == 0);
  for (int i = 0; i < 2; ++i) {
    cudaMemsetAsync(y.at, 0, 128, a.native);
    cudaGraphLaunch(executable, a.native);
    if (i == 1) cudaGraphExecDestroy(executable);  // while the launch is queued
    cudaStreamSynchronize(a.native);
    BOOST_TEST(y.get()[0] == 8);
  }
  BOOST_TEST(cudaGraphLaunch(executable, a.native) == cudaErrorInvalidValue);
  cudaGetLastError();
}

BOOST_AUTO_TEST_CASE(a_capture_bears_neither_waits_nor_allocations) {
  const Stream other;
  const Event before;
  const Array<float> y(32);
  launch(put, 1, 32, 0, other.native, y.at, 1.0F);
  cudaEventRecord(before.native, other.native);
  void* p = nullptr;
  BOOST_TEST(within(kLocal, [](cudaStream_t s) { return cudaStreamSynchronize(s); }) ==
             kRefused);
  BOOST_TEST(within(kLocal, [](cudaStream_t s) { return cudaStreamQuery(s); }) == kRefused);
  BOOST_TEST(within(kLocal, [](cudaStream_t) { return cudaDeviceSynchronize(); }) == kRefused);
  BOOST_TEST(within(kLocal, [&](cudaStream_t) { return cudaEventQuery(before.native); }) ==
             kRefused);
  BOOST_TEST(within(kLocal, [&](cudaStream_t) {
               return cudaEventSynchronize(before.native);
             }) == kRefused);
  BOOST_TEST(within(kLocal, [&](cudaStream_t) { return cudaMalloc(&p, 16); }) == kRefused);
  BOOST_TEST(within(kLocal, [&](cudaStream_t) { return cudaMallocHost(&p, 16); }) == kRefused);
  BOOST_TEST(within(kLocal, [](cudaStream_t) { return cudaFree(nullptr); }) == kRefused);
  BOOST_TEST(within(kLocal, [](cudaStream_t) { return cudaFreeHost(nullptr); }) == kRefused);
  cudaStreamSynchronize(other.native);
}

BOOST_AUTO_TEST_CASE(modes_say_whose_calls_a_capture_does_not_bear) {
  void* p = nullptr;
  const auto elsewhere = [&](cudaStream_t) {
    cudaError_t code = cudaSuccess;
    std::thread([&] { code = cudaMalloc(&p, 16); }).join();
    return code;
  };
  BOOST_TEST(within(kLocal, elsewhere) == kFine);
  cudaFree(p);
  BOOST_TEST(within(cudaStreamCaptureModeGlobal, elsewhere) == kRefused);
  BOOST_TEST(within(cudaStreamCaptureModeRelaxed,
                    [&](cudaStream_t) { return cudaMalloc(&p, 16); }) == kFine);
  cudaFree(p);
  const auto ended_elsewhere = [](cudaStream_t s) {
    cudaError_t code = cudaSuccess;
    cudaGraph_t graph = nullptr;
    std::thread([&] { code = cudaStreamEndCapture(s, &graph); }).join();
    return code;
  };
  BOOST_TEST(within(kLocal, ended_elsewhere) ==
             (Outcome{cudaErrorStreamCaptureWrongThread, cudaSuccess}));
}

BOOST_AUTO_TEST_CASE(events_stay_on_their_side_of_a_capture) {
  const Stream other;
  const Event event;
  const Array<float> y(32);
  cudaEventRecord(event.native, other.native);
  const auto wait = [&](cudaStream_t s) { return cudaStreamWaitEvent(s, event.native, 0); };
  BOOST_TEST(within(kLocal, wait) ==
             (Outcome{cudaErrorStreamCaptureIsolation, cudaErrorStreamCaptureInvalidated}));
  const auto query = [&](cudaStream_t s) {
    cudaEventRecord(event.native, s);
    return cudaEventQuery(event.native);
  };
  BOOST_TEST(within(kLocal, query) == (Outcome{cudaErrorCapturedEvent, cudaSuccess}));
  BOOST_TEST(cudaStreamWaitEvent(other.native, event.native, 0) == cudaErrorCapturedEvent);
  cudaGetLastError();
  const auto fork = [&](cudaStream_t s) {
    cudaEventRecord(event.native, s);
    cudaStreamWaitEvent(other.native, event.native, 0);
    launch(put, 1, 32, 0, other.native, y.at, 1.0F);
    return cudaSuccess;
  };
  BOOST_TEST(within(kLocal, fork) == (Outcome{cudaSuccess, cudaErrorStreamCaptureUnjoined}));
}

BOOST_AUTO_TEST_CASE(work_of_the_default_stream_would_be_missing) {
  const Array<float> y(32);
  BOOST_TEST(contains(message_of_death([&] {
                        within(kLocal, [&](cudaStream_t) {
                          return cudaMemsetAsync(y.at, 0, 128, nullptr);
                        });
                      }),
                      "missing in the graph"));
}
