// SPDX-License-Identifier: Apache-2.0
// CUDA's handles behind Device, Stream and Event.
#pragma once

#include <array>
#include <cuda_runtime.h>
#include <functional>
#include <mutex>
#include <vector>

#include "trireme/comm/wait_record.hpp"
#include "trireme/device/device.hpp"

namespace trireme::cuda {

/// Makes `index` the calling thread's device. A new thread starts with device 0, and CUDA makes
/// memory, streams and events on the thread's device.
void select_device(int index);

/// Used events of one device, to be recorded again. Threads may share the pool.
class EventPool {
 public:
  EventPool() = default;
  ~EventPool();
  EventPool(const EventPool&) = delete;
  EventPool& operator=(const EventPool&) = delete;
  /// Returns an event of the thread's device.
  [[nodiscard]] cudaEvent_t take(bool timed);
  void give_back(cudaEvent_t event, bool timed) noexcept;

 private:
  std::mutex mutex_;
  std::array<std::vector<cudaEvent_t>, 2> free_;  // [timed]
};

class CudaEvent final : public Event {
 public:
  CudaEvent(std::shared_ptr<EventPool> pool, bool timed);
  ~CudaEvent() override;
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  void synchronize() override;
  [[nodiscard]] bool done() override;
  [[nodiscard]] double seconds_since(const Event& earlier) override;
  [[nodiscard]] cudaEvent_t native() const { return event_; }

 private:
  std::shared_ptr<EventPool> pool_;
  bool timed_;
  cudaEvent_t event_;
};

class CudaStream final : public Stream {
 public:
  /// Makes a stream on the thread's device, not ordered with the default stream. The GPU
  /// prefers work of streams with a lower number; CUDA clamps `priority` to its range (0 … −5).
  explicit CudaStream(int priority = 0);
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  void synchronize() override;
  [[nodiscard]] std::unique_ptr<Event> record() override { return record(false); }
  [[nodiscard]] std::unique_ptr<Event> record_timed() override { return record(true); }
  void wait(Event& event) override;
  [[nodiscard]] std::unique_ptr<Graph> capture(const std::function<void()>& work) override;
  [[nodiscard]] cudaStream_t native() const { return stream_; }
  [[nodiscard]] int device() const { return device_; }

 private:
  [[nodiscard]] std::unique_ptr<Event> record(bool timed);

  int device_ = 0;
  cudaStream_t stream_ = nullptr;
  std::shared_ptr<EventPool> events_ = std::make_shared<EventPool>();
};

/// A check that runs repeatedly while the thread that made it waits for a GPU. Without such a
/// check, work that needs lost ranks would never end. look() throws Error to end the wait.
class Watch {
 public:
  explicit Watch(std::function<void()> look);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  void look() const { look_(); }

 private:
  std::function<void()> look_;
  std::vector<const Watch*>& list_;
};

/// Whether all streams of the process on a device become idle within `seconds`.
[[nodiscard]] bool idle_within(int device, double seconds);

/// The priority of streams for communication, which other work waits for.
inline constexpr int kFirst = -5;

/// Returns the handle of a stream, which must be a CudaStream.
[[nodiscard]] inline cudaStream_t native(const Stream& s) {
  return static_cast<const CudaStream&>(s).native();
}

}  // namespace trireme::cuda
