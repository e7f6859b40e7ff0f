// SPDX-License-Identifier: Apache-2.0
// Device memory that lives within one operation: cuBLASLt's workspace, partial sums, sorted
// positions. One array serves all, since operations follow each other on the compute stream.
#pragma once

#include <cstddef>

#include "trireme/backend/cuda_workspace.hpp"
#include "trireme/device/device.hpp"

namespace trireme::cuda {

class Workspace {
 public:
  static constexpr std::size_t kBytes = kCudaWorkspaceBytes;

  explicit Workspace(Device& device) : device_(device), buffer_(device, kBytes) {}

  /// Returns the first `bytes` of the workspace. Throws Error if the workspace is smaller.
  [[nodiscard]] void* take(std::size_t bytes) const;
  [[nodiscard]] Device& device() const { return device_; }

 private:
  Device& device_;
  Buffer buffer_;
};

}  // namespace trireme::cuda
