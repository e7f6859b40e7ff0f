// SPDX-License-Identifier: Apache-2.0
// Owner of pinned host memory.
#pragma once

#include "trireme/device/device.hpp"

namespace trireme {

/// Memory of Device::allocate_host(). The device must outlive it, and copies to and from it
/// must be done when it goes.
class HostBuffer {
 public:
  HostBuffer(Device& device, std::size_t bytes)
      : device_(device), data_(device.allocate_host(bytes)) {}
  ~HostBuffer() { device_.release_host(data_); }
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;

  [[nodiscard]] void* data() const { return data_; }

 private:
  Device& device_;
  void* data_;
};

}  // namespace trireme
