// SPDX-License-Identifier: Apache-2.0
// Recycles pinned host memory in the order of a stream of its own.
#pragma once

#include <memory>

#include "trireme/device/block_pool.hpp"

namespace trireme {

/// Host memory for copies from a device and back again. Only the pool's stream may read and
/// write the blocks. The stream runs its copies in order: a block is free for reuse once its
/// last copy is queued, and no host waits. Blocks of a dry device are counted and don't exist.
class HostPool : public std::enable_shared_from_this<HostPool> {
 public:
  /// Call make() instead. The device must outlive the pool and its blocks.
  explicit HostPool(Device& device);
  [[nodiscard]] static std::shared_ptr<HostPool> make(Device& device) {
    return std::make_shared<HostPool>(device);
  }
  /// Waits for the stream.
  ~HostPool();
  HostPool(const HostPool&) = delete;
  HostPool& operator=(const HostPool&) = delete;

  [[nodiscard]] Stream& stream() { return *stream_; }
  /// Returns a block, which keeps the pool alive. The block is free when its last owner is
  /// gone.
  [[nodiscard]] std::shared_ptr<void> block(std::size_t bytes);
  /// Gives back the blocks that nobody holds. No copy may use them any more.
  void trim();
  [[nodiscard]] const MemoryUse& use() const { return blocks_.use(); }

 private:
  void* fresh(std::size_t size);

  Device& device_;
  std::unique_ptr<Stream> stream_;
  std::uintptr_t next_ = BlockPool::kHugePage;  ///< next address to hand out for a dry device;
                                                ///< no memory is behind it
  BlockPool blocks_{[this](std::size_t size) { return fresh(size); }};
};

}  // namespace trireme
