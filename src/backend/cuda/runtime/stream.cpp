// SPDX-License-Identifier: Apache-2.0
// Streams and events, and how the host waits for them.
#include "stream.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "trireme/core/clock.hpp"

#include "check.hpp"

namespace trireme::cuda {

namespace {

/// Interprets the result of a query.
bool is_done(cudaError_t code) {
  if (code == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());  // the next launch must not report this code
    return false;
  }
  TRM_CUDA(code);
  return true;
}

std::vector<const Watch*>& watches() {
  thread_local std::vector<const Watch*> all;
  return all;
}

/// Polls done() for at most `seconds` and returns whether it became true. Polls without a pause
/// at first, since most waits are short.
template <class F>
bool wait_watching(F done, double seconds) {
  constexpr int kLookEvery = 64;
  constexpr int kEager = 4096;
  const double begin = now();
  for (int i = 0; !done(); ++i) {
    if (i % kLookEvery == 0) {
      for (const Watch* watch : watches()) watch->look();
      if (now() - begin > seconds) return false;
    }
    if (i < kEager) {
      std::this_thread::yield();
    } else {
      i = kEager - kLookEvery / 2;
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  return true;
}

constexpr double kForEver = 1e30;

/// An executable graph. The captured graph isn't needed any more.
class CudaGraph final : public Graph {
 public:
  CudaGraph(cudaGraph_t captured, cudaStream_t stream) {
    const cudaError_t made = cudaGraphInstantiate(&executable_, captured, 0);
    cudaGraphDestroy(captured);
    TRM_CUDA(made);
    if (const cudaError_t sent = cudaGraphUpload(executable_, stream); sent != cudaSuccess) {
      cudaGraphExecDestroy(executable_);
      TRM_CUDA(sent);
    }
  }
  /// The owner has waited for the stream, which means that all launches have ended.
  ~CudaGraph() override { cudaGraphExecDestroy(executable_); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  void launch(Stream& stream) override {
    TRM_CUDA(cudaGraphLaunch(executable_, native(stream)));
  }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

struct Streams {
  std::mutex mutex;
  std::vector<const CudaStream*> all;
};

/// All streams of the process. The object outlives static objects.
Streams& streams() {
  static auto& only = *new Streams;
  return only;
}

}  // namespace

void select_device(int index) { TRM_CUDA(cudaSetDevice(index)); }

EventPool::~EventPool() {
  for (const auto& events : free_) {
    for (cudaEvent_t event : events) cudaEventDestroy(event);
  }
}

cudaEvent_t EventPool::take(bool timed) {
  {
    const std::scoped_lock lock(mutex_);
    auto& free = free_[timed ? 1 : 0];
    if (!free.empty()) {
      cudaEvent_t event = free.back();
      free.pop_back();
      return event;
    }
  }
  cudaEvent_t event = nullptr;
  TRM_CUDA(cudaEventCreateWithFlags(&event, timed ? cudaEventDefault : cudaEventDisableTiming));
  return event;
}

void EventPool::give_back(cudaEvent_t event, bool timed) noexcept {
  const std::scoped_lock lock(mutex_);
  free_[timed ? 1 : 0].push_back(event);
}

CudaEvent::CudaEvent(std::shared_ptr<EventPool> pool, bool timed)
    : pool_(std::move(pool)), timed_(timed), event_(pool_->take(timed)) {}

/// The event may be recorded again: streams that wait already still wait for the earlier
/// record.
CudaEvent::~CudaEvent() { pool_->give_back(event_, timed_); }

void CudaEvent::synchronize() {
  const WaitScope wait("work of the GPU", nullptr);
  if (watches().empty()) {
    TRM_CUDA(cudaEventSynchronize(event_));
  } else {
    wait_watching([&] { return done(); }, kForEver);
  }
}

bool CudaEvent::done() { return is_done(cudaEventQuery(event_)); }

double CudaEvent::seconds_since(const Event& earlier) {
  float milliseconds = 0;
  TRM_CUDA(cudaEventElapsedTime(&milliseconds, static_cast<const CudaEvent&>(earlier).event_,
                                event_));
  return static_cast<double>(milliseconds) * 1e-3;
}

CudaStream::CudaStream(int priority) {
  TRM_CUDA(cudaGetDevice(&device_));
  TRM_CUDA(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority));
  const std::scoped_lock lock(streams().mutex);
  streams().all.push_back(this);
}

CudaStream::~CudaStream() {
  {
    const std::scoped_lock lock(streams().mutex);
    std::erase(streams().all, this);
  }
  cudaStreamDestroy(stream_);
}

void CudaStream::synchronize() {
  const WaitScope wait("work of the GPU", nullptr);
  if (watches().empty()) {
    TRM_CUDA(cudaStreamSynchronize(stream_));
  } else {
    wait_watching([&] { return is_done(cudaStreamQuery(stream_)); }, kForEver);
  }
}

std::unique_ptr<Event> CudaStream::record(bool timed) {
  select_device(device_);
  auto event = std::make_unique<CudaEvent>(events_, timed);
  TRM_CUDA(cudaEventRecord(event->native(), stream_));
  return event;
}

void CudaStream::wait(Event& event) {
  TRM_CUDA(cudaStreamWaitEvent(stream_, static_cast<CudaEvent&>(event).native(), 0));
}

/// Ignores other threads' calls on other streams. Waiting for the whole device would end the
/// capture.
std::unique_ptr<Graph> CudaStream::capture(const std::function<void()>& work) {
  select_device(device_);
  TRM_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  cudaGraph_t captured = nullptr;
  try {
    work();
  } catch (...) {
    // Without this call, the stream would refuse later work.
    cudaStreamEndCapture(stream_, &captured);
    if (captured != nullptr) cudaGraphDestroy(captured);
    static_cast<void>(cudaGetLastError());
    throw;
  }
  TRM_CUDA(cudaStreamEndCapture(stream_, &captured));
  return std::make_unique<CudaGraph>(captured, stream_);
}

Watch::Watch(std::function<void()> look) : look_(std::move(look)), list_(watches()) {
  list_.push_back(this);
}

Watch::~Watch() { std::erase(list_, this); }

bool idle_within(int device, double seconds) {
  const auto idle = [&] {
    const std::scoped_lock lock(streams().mutex);
    return std::ranges::all_of(streams().all, [&](const CudaStream* s) {
      return s->device() != device || is_done(cudaStreamQuery(s->native()));
    });
  };
  return wait_watching(idle, seconds);
}

}  // namespace trireme::cuda
