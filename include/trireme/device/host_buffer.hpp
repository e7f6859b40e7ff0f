// SPDX-License-Identifier: Apache-2.0
// Owns pinned host memory.
#pragma once

#include "trireme/device/device.hpp"

namespace trireme {

/// Owns memory of Device::allocate_host(). The device must outlive the buffer. Copies to and
/// from the buffer must be done before its destruction.
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
