// SPDX-License-Identifier: Apache-2.0
// Device memory for what lives within one operation: cuBLASLt's workspace, partial sums, sorted
// positions. One array for all: operations follow each other on the compute stream.
#pragma once

#include <cstddef>

#include "trireme/device/device.hpp"

namespace trireme::cuda {

class Workspace {
 public:
  /// The size that cuBLAS recommends for compute capability 9.0, twice; and the sums of so many
  /// rows as cuDNN's attention keeps in that.
  static constexpr std::size_t kBytes = std::size_t{65} << 20U;

  explicit Workspace(Device& device) : device_(device), buffer_(device, kBytes) {}

  /// The first `bytes` of it. Throws Error where there are fewer.
  [[nodiscard]] void* take(std::size_t bytes) const;
  [[nodiscard]] Device& device() const { return device_; }

 private:
  Device& device_;
  Buffer buffer_;
};

}  // namespace trireme::cuda
