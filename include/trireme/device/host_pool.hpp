// SPDX-License-Identifier: Apache-2.0
// Pinned host memory in the order of a stream.
#pragma once

#include <memory>

#include "trireme/device/block_pool.hpp"

namespace trireme {

/// Memory for what one stream copies from its device and back again. Its copies run in their
/// order, so a block is free for the next one as soon as the last from it is queued, and no
/// host waits. Blocks may be read and written by that stream alone. A dry device's are counted
/// and don't exist.
class HostPool : public std::enable_shared_from_this<HostPool> {
 public:
  /// To be made by make(). Both must outlive it and its blocks.
  HostPool(Device& device, Stream& stream);
  [[nodiscard]] static std::shared_ptr<HostPool> make(Device& device, Stream& stream) {
    return std::make_shared<HostPool>(device, stream);
  }
  /// Waits for the stream.
  ~HostPool();
  HostPool(const HostPool&) = delete;
  HostPool& operator=(const HostPool&) = delete;

  /// The block goes back with its last owner; it keeps the pool alive.
  [[nodiscard]] std::shared_ptr<void> block(std::size_t bytes);
  [[nodiscard]] const MemoryUse& use() const { return blocks_.use(); }

 private:
  void* fresh(std::size_t size);

  Device& device_;
  Stream& stream_;
  std::uintptr_t next_ = BlockPool::kHugePage;  ///< a dry device's, addresses of nothing
  BlockPool blocks_{[this](std::size_t size) { return fresh(size); }};
};

}  // namespace trireme
