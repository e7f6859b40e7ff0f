// SPDX-License-Identifier: Apache-2.0
// Streams and events.
#include "stream.hpp"

#include "check.hpp"

namespace trireme::cuda {

void select_device(int index) { TRM_CUDA(cudaSetDevice(index)); }

CudaEvent::CudaEvent(bool timed) {
  TRM_CUDA(
      cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming));
}

CudaEvent::~CudaEvent() { cudaEventDestroy(event_); }

void CudaEvent::synchronize() { TRM_CUDA(cudaEventSynchronize(event_)); }

bool CudaEvent::done() {
  const cudaError_t code = cudaEventQuery(event_);
  if (code == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());  // no error: a launch must not find it
    return false;
  }
  TRM_CUDA(code);
  return true;
}

double CudaEvent::seconds_since(const Event& earlier) {
  float milliseconds = 0;
  TRM_CUDA(cudaEventElapsedTime(&milliseconds, static_cast<const CudaEvent&>(earlier).event_,
                                event_));
  return static_cast<double>(milliseconds) * 1e-3;
}

CudaStream::CudaStream(int priority) {
  TRM_CUDA(cudaGetDevice(&device_));
  TRM_CUDA(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority));
}

CudaStream::~CudaStream() { cudaStreamDestroy(stream_); }

void CudaStream::synchronize() { TRM_CUDA(cudaStreamSynchronize(stream_)); }

namespace {

std::unique_ptr<Event> record_on(cudaStream_t stream, int device, bool timed) {
  select_device(device);
  auto event = std::make_unique<CudaEvent>(timed);
  TRM_CUDA(cudaEventRecord(event->native(), stream));
  return event;
}

}  // namespace

std::unique_ptr<Event> CudaStream::record() { return record_on(stream_, device_, false); }

std::unique_ptr<Event> CudaStream::record_timed() { return record_on(stream_, device_, true); }

void CudaStream::wait(Event& event) {
  TRM_CUDA(cudaStreamWaitEvent(stream_, static_cast<CudaEvent&>(event).native(), 0));
}

}  // namespace trireme::cuda
