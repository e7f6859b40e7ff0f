// SPDX-License-Identifier: Apache-2.0
// Blocks of pinned memory, each taken from the device once.
#include "trireme/device/host_pool.hpp"

#include "trireme/core/log.hpp"

namespace trireme {

HostPool::HostPool(Device& device) : device_(device), stream_(device.make_stream()) {}

HostPool::~HostPool() {
  if (device_.kind() == DeviceKind::dry) return;
  try {
    stream_->synchronize();
  } catch (const std::exception& e) {
    log::warn("{}", e.what());
    return;  // Copies may still run, so this memory is never released.
  }
  trim();
}

void HostPool::trim() {
  blocks_.drop_kept([this](void* block) {
    if (device_.kind() != DeviceKind::dry) device_.release_host(block);
  });
}

std::shared_ptr<void> HostPool::block(std::size_t bytes) {
  return {blocks_.allocate(bytes),
          [pool = shared_from_this()](void* block) { pool->blocks_.release(block); }};
}

void* HostPool::fresh(std::size_t size) {
  if (device_.kind() != DeviceKind::dry) return device_.allocate_host(size);
  next_ += size;
  return reinterpret_cast<void*>(next_ - size);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace trireme
