// SPDX-License-Identifier: Apache-2.0
// Host memory that is recycled, and streams that run at once.
#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>
#include <unordered_map>

#include "trireme/backend/cpu.hpp"
#include "trireme/core/error.hpp"

#include "parallel.hpp"

namespace trireme {

namespace {

class CpuEvent : public Event {
 public:
  void synchronize() override {}
};

class CpuStream : public Stream {
 public:
  void synchronize() override {}
  std::unique_ptr<Event> record() override { return std::make_unique<CpuEvent>(); }
  void wait(Event&) override {}
};

/// Freed blocks are kept and given to the next request that they fit: fresh pages from the
/// system cost more than the kernels that fill them.
class CpuDevice : public Device {
 public:
  CpuDevice() = default;
  CpuDevice(const CpuDevice&) = delete;
  CpuDevice& operator=(const CpuDevice&) = delete;
  ~CpuDevice() override {
    for (auto& [size, block] : free_) std::free(block);
  }

  [[nodiscard]] DeviceKind kind() const override { return DeviceKind::cpu; }
  [[nodiscard]] std::string name() const override { return "cpu"; }
  std::unique_ptr<Stream> make_stream() override { return std::make_unique<CpuStream>(); }

  void* allocate(std::size_t bytes) override {
    // Whole pages where it matters, not whole huge pages: that would double a block of 2.1 MiB.
    const std::size_t wanted = bytes >= kHugePage
                                   ? round_up(bytes, kPage)
                                   : round_up(std::max<std::size_t>(bytes, 1), kAlignment);
    void* block = reuse(wanted);
    if (block == nullptr) block = fresh(wanted);
    use_.in_use += live_.at(block);
    use_.peak = std::max(use_.peak, use_.in_use);
    return block;
  }

  void release(void* memory, std::size_t) noexcept override {
    const auto it = live_.find(memory);
    use_.in_use -= it->second;
    free_.emplace(it->second, memory);
    live_.erase(it);
  }

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
  [[nodiscard]] MemoryUse memory() const override { return use_; }
  void reset_peak() override { use_.peak = use_.in_use; }

 private:
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kHugePage = std::size_t{2} << 20U;

  static std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

  /// The smallest kept block that wastes at most a quarter.
  void* reuse(std::size_t wanted) {
    const auto it = free_.lower_bound(wanted);
    if (it == free_.end() || it->first > wanted + wanted / 4) return nullptr;
    void* block = it->second;
    live_.emplace(block, it->first);
    free_.erase(it);
    return block;
  }

  void* fresh(std::size_t size) {
    const bool huge = size >= kHugePage;
    void* block = nullptr;
    const int failed = posix_memalign(&block, huge ? kHugePage : kAlignment, size);
    TRM_REQUIRE(failed == 0,
                "out of host memory: {} MiB more were asked for, {} MiB are in use; use more "
                "ranks, a smaller micro-batch or a smaller model",
                size >> 20U, use_.in_use >> 20U);
    if (huge) madvise(block, size, MADV_HUGEPAGE);
    live_.emplace(block, size);
    use_.reserved += size;
    return block;
  }

  std::multimap<std::size_t, void*> free_;
  std::unordered_map<void*, std::size_t> live_;
  MemoryUse use_;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device() { return std::make_unique<CpuDevice>(); }

}  // namespace trireme
