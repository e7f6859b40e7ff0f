// SPDX-License-Identifier: Apache-2.0
// Blocks that wait for a thread to move them.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "trireme/io/file_queue.hpp"

namespace trireme {

class FileQueue::Transfer {
 public:
  bool writes = false;
  std::int64_t blocks = 0;  ///< not yet done
  int error = 0;            ///< errno of the first failure; 0: none
  std::string failure;      ///< empty, or what could not be done
};

namespace io {

struct Block {
  FileQueue::Ticket transfer;
  std::int64_t offset = 0;
  std::byte* data = nullptr;
  std::size_t bytes = 0;
};

/// The blocks of one file. Threads take blocks in order.
class BlockQueue {
 public:
  explicit BlockQueue(std::string name) : name_(std::move(name)) {}

  void add(const FileQueue::Ticket& transfer, std::int64_t offset, std::byte* data,
           std::size_t bytes, std::size_t block_size);
  void wait(const FileQueue::Ticket& transfer);
  /// No more blocks will come: threads end when the queue is empty.
  void close();
  [[nodiscard]] FileTraffic traffic() const;

  // For the threads that move blocks.

  /// Takes at most `most` blocks. With `waits`, waits for the first; empty then: the end.
  [[nodiscard]] std::vector<Block> take(std::size_t most, bool waits);
  /// `result`: bytes moved, or a negative errno. Returns what is left to do of the block.
  [[nodiscard]] std::optional<Block> account(const Block& block, std::int64_t result);

 private:
  void end_block(FileQueue::Transfer& transfer);

  std::string name_;
  mutable std::mutex mutex_;
  std::condition_variable news_;  ///< blocks have come, or none will
  std::condition_variable done_;  ///< a transfer is done
  std::deque<Block> blocks_;
  bool closed_ = false;
  std::int64_t under_way_ = 0;  ///< transfers
  double since_ = 0;            ///< when the first of these began
  FileTraffic traffic_;
};

/// Moves blocks by pread and pwrite until the queue's end.
void move_by_calls(int file, BlockQueue& queue);

/// A ring of the kernel, or nothing where the kernel refuses one.
class Ring {
 public:
  [[nodiscard]] static std::unique_ptr<Ring> make(int file, const FileQueueSettings& settings);
  virtual ~Ring() = default;
  /// Moves blocks until the queue's end.
  virtual void move(BlockQueue& queue) = 0;
};

}  // namespace io

}  // namespace trireme
