// SPDX-License-Identifier: Apache-2.0
// A device whose addresses have no memory behind them.
#include <cstdlib>
#include <cstring>

#include "trireme/backend/dry.hpp"
#include "trireme/device/block_pool.hpp"

namespace trireme {

namespace {

class DryEvent : public Event {
 public:
  void synchronize() override {}
  bool done() override { return true; }
  double seconds_since(const Event&) override { return 0; }
};

class DryGraph : public Graph {
 public:
  void launch(Stream&) override {}
};

class DryStream : public Stream {
 public:
  void synchronize() override {}
  std::unique_ptr<Event> record() override { return std::make_unique<DryEvent>(); }
  std::unique_ptr<Event> record_timed() override { return record(); }
  void wait(Event&) override {}
  std::unique_ptr<Graph> capture(const std::function<void()>& work) override {
    work();  // counts the memory that `work` allocates
    return std::make_unique<DryGraph>();
  }
};

class DryDevice : public Device {
 public:
  explicit DryDevice(DeviceKind stands_for) : stands_for_(stands_for) {}
  [[nodiscard]] DeviceKind stands_for() const override { return stands_for_; }
  [[nodiscard]] DeviceKind kind() const override { return DeviceKind::dry; }
  [[nodiscard]] std::string name() const override { return "dry"; }
  std::unique_ptr<Stream> make_stream() override { return std::make_unique<DryStream>(); }
  void* allocate(std::size_t bytes) override { return pool_.allocate(bytes); }
  void release(void* memory, std::size_t) noexcept override { pool_.release(memory); }
  void* allocate_host(std::size_t bytes) override { return std::malloc(bytes); }
  void release_host(void* memory) noexcept override { std::free(memory); }

  void copy_to_host(void* host, const void*, std::size_t bytes, Stream&) override {
    std::memset(host, 0, bytes);
  }
  void copy_from_host(void*, const void*, std::size_t, Stream&) override {}
  void copy(void*, const void*, std::size_t, Stream&) override {}
  void zero(void*, std::size_t, Stream&) override {}
  void trim() override {
    pool_.drop_kept([](void*) {});
  }
  [[nodiscard]] MemoryUse memory() const override { return pool_.use(); }
  void reset_peak() override { pool_.reset_peak(); }
  BlockPool& pool() override { return pool_; }

 private:
  void* fresh(std::size_t size) {
    void* block = reinterpret_cast<void*>(next_);  // NOLINT(performance-no-int-to-ptr)
    next_ += size;
    return block;
  }

  DeviceKind stands_for_;
  // No system maps process memory at this address, with 48 or with 57 bits of address.
  std::uintptr_t next_ = std::uintptr_t{1} << 54U;
  BlockPool pool_{[this](std::size_t size) { return fresh(size); }};
};

}  // namespace

std::unique_ptr<Device> make_dry_device(DeviceKind stands_for) {
  return std::make_unique<DryDevice>(stands_for);
}

}  // namespace trireme
