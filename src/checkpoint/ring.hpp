// SPDX-License-Identifier: Apache-2.0
// Copies from a device into memory that isn't pinned, through chunks that are.
#pragma once

#include <deque>
#include <memory>

#include "trireme/checkpoint/saver.hpp"
#include "trireme/device/host_buffer.hpp"

namespace trireme::checkpoint {

/// While the device fills a chunk, the host empties the one before. Only what has more bytes
/// than all chunks together waits for the device before its end.
class Ring {
 public:
  /// For copies into the `bytes` bytes from `to` on.
  Ring(const StateHome& home, std::byte* to, std::size_t bytes);

  /// Queues a copy of `from`, contiguous, to `to` + `at`; `at` only grows, and what lies
  /// between copies becomes anything.
  void copy(std::size_t at, const ConstView& from);
  /// All is there.
  void wait();

 private:
  struct Filled {
    std::size_t number = 0;  ///< the chunk's number in `to`
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
  std::size_t chunk_;          ///< bytes of one
  std::size_t open_ = 0;       ///< the chunk that is being filled
  std::deque<Filled> filled_;  ///< and those before it that the host hasn't emptied
  std::deque<HostBuffer> chunks_;
};

}  // namespace trireme::checkpoint
