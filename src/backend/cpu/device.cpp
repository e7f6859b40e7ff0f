// SPDX-License-Identifier: Apache-2.0
// Host memory that is recycled, and streams that run work at once.
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#include "trireme/backend/cpu.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/error.hpp"
#include "trireme/device/block_pool.hpp"

#include "parallel.hpp"

namespace trireme {

namespace {

class CpuEvent : public Event {
 public:
  CpuEvent() = default;
  void synchronize() override {}
  bool done() override { return true; }
  double seconds_since(const Event& earlier) override {
    return at_ - static_cast<const CpuEvent&>(earlier).at_;
  }

 private:
  double at_ = now();
};

class CpuStream : public Stream {
 public:
  void synchronize() override {}
  std::unique_ptr<Event> record() override { return std::make_unique<CpuEvent>(); }
  std::unique_ptr<Event> record_timed() override { return record(); }
  void wait(Event&) override {}
  std::unique_ptr<Graph> capture(const std::function<void()>&) override {
    throw Error("CPU work runs at once and can't be captured in a graph; graphs need a GPU");
  }
};

/// Keeps freed blocks and gives them to later requests that fit. Fresh pages from the system
/// cost more than the kernels that fill them.
class CpuDevice : public Device {
 public:
  CpuDevice() = default;
  CpuDevice(const CpuDevice&) = delete;
  CpuDevice& operator=(const CpuDevice&) = delete;
  ~CpuDevice() override { trim(); }

  [[nodiscard]] DeviceKind kind() const override { return DeviceKind::cpu; }
  [[nodiscard]] std::string name() const override { return "cpu"; }
  std::unique_ptr<Stream> make_stream() override { return std::make_unique<CpuStream>(); }
  void* allocate(std::size_t bytes) override { return pool_.allocate(bytes); }
  void release(void* memory, std::size_t) noexcept override { pool_.release(memory); }
  // Not counted as the device's memory: pinned host memory of a GPU isn't either.
  void* allocate_host(std::size_t bytes) override {
    void* memory = std::malloc(bytes);
    TRM_REQUIRE(memory != nullptr, "out of host memory: {} bytes more were asked for", bytes);
    return memory;
  }
  void release_host(void* memory) noexcept override { std::free(memory); }

  void copy_to_host(void* host, const void* from, std::size_t bytes, Stream&) override {
    std::memcpy(host, from, bytes);
  }
  void copy_from_host(void* to, const void* host, std::size_t bytes, Stream&) override {
    std::memcpy(to, host, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream&) override {
    std::memmove(to, from, bytes);
  }
  void zero(void* to, std::size_t bytes, Stream&) override {
    auto* first = static_cast<std::byte*>(to);
    cpu::parallel_for(static_cast<std::int64_t>(bytes), 1, 4096,
                      [&](std::int64_t begin, std::int64_t end) {
                        std::memset(first + begin, 0, static_cast<std::size_t>(end - begin));
                      });
  }
  void trim() override {
    pool_.drop_kept([](void* block) { std::free(block); });
  }
  [[nodiscard]] MemoryUse memory() const override { return pool_.use(); }
  void reset_peak() override { pool_.reset_peak(); }
  BlockPool& pool() override { return pool_; }

 private:
  static constexpr std::size_t kAlignment = 64;

  void* fresh(std::size_t size) {
    const bool huge = size >= BlockPool::kHugePage;
    void* block = nullptr;
    const int failed = posix_memalign(&block, huge ? BlockPool::kHugePage : kAlignment, size);
    TRM_REQUIRE(failed == 0,
                "out of host memory: {} MiB more were asked for, {} MiB are in use. Use more "
                "ranks, a higher zero_optimization.stage, a smaller micro-batch or a smaller "
                "model",
                size >> 20U, pool_.use().in_use >> 20U);
    if (huge) madvise(block, size, MADV_HUGEPAGE);
    return block;
  }

  BlockPool pool_{[this](std::size_t size) { return fresh(size); }};
};

}  // namespace

std::unique_ptr<Device> make_cpu_device() { return std::make_unique<CpuDevice>(); }

}  // namespace trireme
