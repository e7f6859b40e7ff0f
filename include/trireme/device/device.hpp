// SPDX-License-Identifier: Apache-2.0
// Where memory lives and work is queued. On a CPU a stream runs its work at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace trireme {

/// `dry` memory is counted and doesn't exist: what would be written to it needn't be computed.
enum class DeviceKind : std::uint8_t { cpu, cuda, dry };

class Event {
 public:
  virtual ~Event() = default;
  virtual void synchronize() = 0;  ///< Blocks the host until the recorded work is done.
  [[nodiscard]] virtual bool done() = 0;
  /// Seconds from `earlier` to this event; both of record_timed() and done.
  [[nodiscard]] virtual double seconds_since(const Event& earlier) = 0;
};

class Stream;
class BlockPool;

/// Work that was captured, with the addresses and numbers that it had then.
class Graph {
 public:
  virtual ~Graph() = default;
  /// Queues all of it by one call.
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
  /// What `work` queues here becomes a graph and doesn't run. It may not wait for the device,
  /// ask the system for memory, touch pageable host memory or look at events; what it throws
  /// passes through and leaves the stream as it was. Throws Error where the device has no such
  /// thing, or CUDA refuses a call.
  [[nodiscard]] virtual std::unique_ptr<Graph> capture(const std::function<void()>& work) = 0;
};

/// What a device's allocator has handed out, in bytes.
struct MemoryUse {
  std::size_t in_use = 0;
  std::size_t peak = 0;      ///< highest in_use since the last reset_peak()
  std::size_t reserved = 0;  ///< in_use plus what is kept for reuse
};

/// Memory and streams of one device. Allocations are recycled: after the first step of a run
/// none reaches the operating system. Not thread-safe; one Device belongs to one rank.
class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual DeviceKind kind() const = 0;
  /// A dry device's: the kind whose memory it counts.
  [[nodiscard]] virtual DeviceKind stands_for() const { return kind(); }
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::unique_ptr<Stream> make_stream() = 0;
  /// At least `bytes` bytes aligned to 64, not initialised. Throws Error naming the size when
  /// full.
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory, std::size_t bytes) noexcept = 0;
  /// Host memory that copies run to and from without the host waiting (pinned). Recycled too.
  [[nodiscard]] virtual void* allocate_host(std::size_t bytes) = 0;
  virtual void release_host(void* memory) noexcept = 0;
  /// Queued. Memory that is not of allocate_host() may be copied before the call returns; it
  /// must stay until the stream has come there.
  virtual void copy_to_host(void* host, const void* from, std::size_t bytes,
                            Stream& stream) = 0;
  virtual void copy_from_host(void* to, const void* host, std::size_t bytes,
                              Stream& stream) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes, Stream& stream) = 0;
  virtual void zero(void* to, std::size_t bytes, Stream& stream) = 0;
  [[nodiscard]] virtual MemoryUse memory() const = 0;
  virtual void reset_peak() = 0;
  /// Gives the system back what is kept for reuse, but for what arenas keep, and forgets the
  /// peak.
  virtual void trim() = 0;
  /// Of allocate()'s blocks: where arenas are made.
  [[nodiscard]] virtual BlockPool& pool() = 0;
  // For profilers, where there is one: named ranges of the host's calls, and the part of the
  // run that is recorded.
  virtual void begin_range(const std::string& /*name*/) {}
  virtual void end_range() {}
  virtual void start_profiler() {}
  virtual void stop_profiler() {}
};

/// Owner of one allocation. The device must outlive it.
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
