// SPDX-License-Identifier: Apache-2.0
// Accounts of blocks, and the threads' loop of plain reads and writes.
#include "block_queue.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>
#include <utility>

#include "trireme/core/clock.hpp"
#include "trireme/core/error.hpp"

namespace trireme::io {

void BlockQueue::add(const FileQueue::Ticket& transfer, std::int64_t offset, std::byte* data,
                     std::size_t bytes, std::size_t block_size) {
  if (bytes == 0) return;
  const std::scoped_lock lock(mutex_);
  if (under_way_++ == 0) since_ = now();
  for (std::size_t at = 0; at < bytes; at += block_size) {
    blocks_.push_back({transfer, offset + static_cast<std::int64_t>(at), data + at,
                       std::min(block_size, bytes - at)});
    ++transfer->blocks;
  }
  news_.notify_all();
}

void BlockQueue::wait(const FileQueue::Ticket& transfer) {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return transfer->blocks == 0; });
  if (transfer->failure.empty()) return;
  throw Error(fmt::format("{}: {}", name_, transfer->failure), transfer->error);
}

void BlockQueue::close() {
  const std::scoped_lock lock(mutex_);
  closed_ = true;
  news_.notify_all();
}

FileTraffic BlockQueue::traffic() const {
  const std::scoped_lock lock(mutex_);
  FileTraffic traffic = traffic_;
  if (under_way_ > 0) traffic.busy += now() - since_;
  return traffic;
}

std::vector<Block> BlockQueue::take(std::size_t most, bool waits) {
  std::unique_lock lock(mutex_);
  if (waits) news_.wait(lock, [&] { return closed_ || !blocks_.empty(); });
  std::vector<Block> taken;
  while (taken.size() < most && !blocks_.empty()) {
    taken.push_back(std::move(blocks_.front()));
    blocks_.pop_front();
  }
  return taken;
}

std::optional<Block> BlockQueue::account(const Block& block, std::int64_t result) {
  const std::scoped_lock lock(mutex_);
  FileQueue::Transfer& transfer = *block.transfer;
  const bool retry = result == -EINTR || result == -EAGAIN;
  if (result <= 0 && !retry) {
    if (transfer.failure.empty()) {
      transfer.error = static_cast<int>(-result);
      transfer.failure = fmt::format(
          "cannot {} {} bytes at byte {}: {}", transfer.writes ? "write" : "read", block.bytes,
          block.offset, result < 0 ? std::strerror(transfer.error) : "the file ends there");
    }
    end_block(transfer);
    return std::nullopt;
  }
  Block rest = block;
  if (!retry) {
    const auto moved = static_cast<std::size_t>(result);
    (transfer.writes ? traffic_.written : traffic_.read) += result;
    rest.offset += result;
    rest.data += moved;
    rest.bytes -= moved;
  }
  if (rest.bytes > 0) return rest;
  end_block(transfer);
  return std::nullopt;
}

void BlockQueue::end_block(FileQueue::Transfer& transfer) {
  if (--transfer.blocks > 0) return;
  if (--under_way_ == 0) traffic_.busy += now() - since_;
  done_.notify_all();
}

void move_by_calls(int file, BlockQueue& queue) {
  for (;;) {
    const auto blocks = queue.take(1, true);
    if (blocks.empty()) return;
    std::optional<Block> left = blocks.front();
    while (left) {
      const ssize_t n = left->transfer->writes
                            ? pwrite(file, left->data, left->bytes, left->offset)
                            : pread(file, left->data, left->bytes, left->offset);
      left = queue.account(*left, n < 0 ? -errno : n);
    }
  }
}

}  // namespace trireme::io
