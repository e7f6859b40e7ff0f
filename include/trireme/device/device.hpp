// SPDX-License-Identifier: Apache-2.0
// Device, Stream and Event: where memory lives and work is queued. A CPU's stream runs its work
// at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace trireme {

/// `dry` memory is counted and doesn't exist: kernels need not compute what they would write.
enum class DeviceKind : std::uint8_t { cpu, cuda, dry };

class Event {
 public:
  virtual ~Event() = default;
  virtual void synchronize() = 0;  ///< Blocks the host until the recorded work is done.
  [[nodiscard]] virtual bool done() = 0;
  /// Seconds from `earlier` to this event. Both must come from record_timed() and be done.
  [[nodiscard]] virtual double seconds_since(const Event& earlier) = 0;
};

class Stream;
class BlockPool;

/// Captured work, with the addresses and numbers that it had at capture.
class Graph {
 public:
  virtual ~Graph() = default;
  /// Queues all of the captured work with one call.
  virtual void launch(Stream& stream) = 0;
};

/// An ordered queue of work.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void synchronize() = 0;
  [[nodiscard]] virtual std::unique_ptr<Event> record() = 0;
  [[nodiscard]] virtual std::unique_ptr<Event> record_timed() = 0;
  virtual void wait(Event& event) = 0;  ///< Later work here starts after `event`.
  /// Captures the work that `work` queues on this stream into a graph, without running it.
  /// `work` must not wait for the device, allocate from the system, touch pageable host memory
  /// or query events. An exception from `work` passes through and leaves the stream as it was.
  /// Throws Error if the device cannot capture, or if CUDA refuses a call.
  [[nodiscard]] virtual std::unique_ptr<Graph> capture(const std::function<void()>& work) = 0;
};

/// What a device's allocator has handed out, in bytes.
struct MemoryUse {
  std::size_t in_use = 0;
  std::size_t peak = 0;      ///< highest in_use since the last reset_peak()
  std::size_t reserved = 0;  ///< in_use plus the bytes kept for reuse
};

/// Memory and streams of one device. Allocations are recycled: after the first step of a run,
/// none reaches the operating system. Not thread-safe; one Device belongs to one rank.
class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual DeviceKind kind() const = 0;
  /// The kind whose memory a dry device counts; otherwise kind().
  [[nodiscard]] virtual DeviceKind stands_for() const { return kind(); }
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::unique_ptr<Stream> make_stream() = 0;
  /// Returns at least `bytes` bytes aligned to 64, not initialised. Throws Error with the size
  /// when the device is full.
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory, std::size_t bytes) noexcept = 0;
  /// Returns pinned host memory, which copies use without blocking the host. Recycled too.
  [[nodiscard]] virtual void* allocate_host(std::size_t bytes) = 0;
  virtual void release_host(void* memory) noexcept = 0;
  /// Copies are queued. Host memory must stay valid until the stream has run the copy. Memory
  /// that isn't from allocate_host() may be copied before the call returns.
  virtual void copy_to_host(void* host, const void* from, std::size_t bytes,
                            Stream& stream) = 0;
  virtual void copy_from_host(void* to, const void* host, std::size_t bytes,
                              Stream& stream) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes, Stream& stream) = 0;
  virtual void zero(void* to, std::size_t bytes, Stream& stream) = 0;
  [[nodiscard]] virtual MemoryUse memory() const = 0;
  virtual void reset_peak() = 0;
  /// Returns blocks kept for reuse to the system, except those of arenas. Waits for the device.
  virtual void trim() = 0;
  /// The pool behind allocate(), in which arenas are made.
  [[nodiscard]] virtual BlockPool& pool() = 0;
  // For profilers, if there is one: named ranges of host calls, and the recorded stretch of the
  // run.
  virtual void begin_range(const std::string& /*name*/) {}
  virtual void end_range() {}
  virtual void start_profiler() {}
  virtual void stop_profiler() {}
};

/// Owns one allocation. The device must outlive the buffer.
class Buffer {
 public:
  Buffer(Device& device, std::size_t bytes)
      : device_(device), bytes_(bytes), data_(device.allocate(bytes)) {}
  ~Buffer() { device_.release(data_, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  [[nodiscard]] void* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] Device& device() const { return device_; }

 private:
  Device& device_;
  std::size_t bytes_;
  void* data_;
};

}  // namespace trireme
