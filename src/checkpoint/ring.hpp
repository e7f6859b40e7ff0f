// SPDX-License-Identifier: Apache-2.0
// Copies from a device into memory that isn't pinned, through pinned chunks.
#pragma once

#include <deque>
#include <memory>

#include "trireme/checkpoint/saver.hpp"
#include "trireme/device/host_buffer.hpp"

namespace trireme::checkpoint {

/// While the device fills a chunk, the host empties the chunk before. copy() waits for the
/// device only when no chunk is free.
class Ring {
 public:
  /// For copies into `bytes` bytes that begin at `to`.
  Ring(const StateHome& home, std::byte* to, std::size_t bytes);

  /// Queues a copy of the contiguous view `from` to `to` + `at`. Successive `at` must grow.
  /// Bytes between two copies get undefined values.
  void copy(std::size_t at, const ConstView& from);
  /// Waits until every copy has arrived.
  void wait();

 private:
  struct Filled {
    std::size_t number = 0;  ///< the chunk's position in `to`
    std::unique_ptr<Event> event;
  };
  void seal();
  void empty_oldest();
  [[nodiscard]] std::byte* chunk(std::size_t number) const {
    return static_cast<std::byte*>(chunks_[number % chunks_.size()].data());
  }

  StateHome home_;
  std::byte* to_;
  std::size_t size_;
  std::size_t chunk_;          ///< bytes of a chunk
  std::size_t open_ = 0;       ///< the chunk that is being filled
  std::deque<Filled> filled_;  ///< chunks before the open one, not emptied yet
  std::deque<HostBuffer> chunks_;
};

}  // namespace trireme::checkpoint
