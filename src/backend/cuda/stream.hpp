// SPDX-License-Identifier: Apache-2.0
// CUDA's handles behind Device, Stream and Event.
#pragma once

#include <cuda_runtime.h>

#include "trireme/device/device.hpp"

namespace trireme::cuda {

/// The calling thread's device is `index` from here on: a new thread's is 0, and CUDA makes
/// memory, streams and events on the thread's device.
void select_device(int index);

class CudaEvent final : public Event {
 public:
  /// On the thread's device.
  explicit CudaEvent(bool timed);
  ~CudaEvent() override;
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  void synchronize() override;
  [[nodiscard]] bool done() override;
  [[nodiscard]] double seconds_since(const Event& earlier) override;
  [[nodiscard]] cudaEvent_t native() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudaStream final : public Stream {
 public:
  /// On the thread's device; not ordered with the default stream. Work of streams of a lower
  /// number goes first where the GPU has a choice; CUDA clamps it to its range (0 … −5).
  explicit CudaStream(int priority = 0);
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  void synchronize() override;
  [[nodiscard]] std::unique_ptr<Event> record() override;
  [[nodiscard]] std::unique_ptr<Event> record_timed() override;
  void wait(Event& event) override;
  [[nodiscard]] cudaStream_t native() const { return stream_; }

 private:
  int device_ = 0;
  cudaStream_t stream_ = nullptr;
};

/// The priority of streams whose work others wait for: exchanges.
inline constexpr int kFirst = -5;

/// Streams of a CUDA device are CudaStreams.
[[nodiscard]] inline cudaStream_t native(const Stream& s) {
  return static_cast<const CudaStream&>(s).native();
}

}  // namespace trireme::cuda
