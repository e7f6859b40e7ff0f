// SPDX-License-Identifier: Apache-2.0
// Blocks through io_uring.
#include <cerrno>
#include <unordered_map>

#include "block_queue.hpp"

#ifdef TRIREME_URING
#include <liburing.h>
#endif

namespace trireme::io {

#ifdef TRIREME_URING

namespace {

/// Linux 5.1 to 5.5 have rings that know no plain reads and writes.
bool knows_operations() {
  io_uring_probe* const probe = io_uring_get_probe();
  if (probe == nullptr) return false;
  const bool known = io_uring_opcode_supported(probe, IORING_OP_READ) != 0 &&
                     io_uring_opcode_supported(probe, IORING_OP_WRITE) != 0;
  io_uring_free_probe(probe);
  return known;
}

class KernelRing final : public Ring {
 public:
  KernelRing(int file, const FileQueueSettings& settings)
      : file_(file),
        depth_(static_cast<std::size_t>(settings.queue_depth)),
        single_(settings.single_submit),
        overlaps_(settings.overlap_events),
        error_(io_uring_queue_init(static_cast<unsigned>(depth_), &ring_, 0)) {}
  ~KernelRing() override {
    if (error_ == 0) io_uring_queue_exit(&ring_);
  }
  KernelRing(const KernelRing&) = delete;
  KernelRing& operator=(const KernelRing&) = delete;

  [[nodiscard]] bool works() const { return error_ == 0; }

  void move(BlockQueue& queue) override {
    for (;;) {
      const bool may_submit = overlaps_ || under_way_.empty();
      if (may_submit) {
        const std::size_t room = depth_ - under_way_.size() - left_.size();
        for (Block& b : queue.take(room, under_way_.empty() && left_.empty())) {
          left_.push_back(std::move(b));
        }
        if (left_.empty() && under_way_.empty()) return;
        submit();
      }
      if (!under_way_.empty()) reap(queue);
    }
  }

 private:
  void submit() {
    std::size_t prepared = 0;
    for (Block& b : left_) {
      io_uring_sqe* entry = io_uring_get_sqe(&ring_);
      if (entry == nullptr) break;
      const auto size = static_cast<unsigned>(b.bytes);
      const auto offset = static_cast<std::uint64_t>(b.offset);
      if (b.transfer->writes) {
        io_uring_prep_write(entry, file_, b.data, size, offset);
      } else {
        io_uring_prep_read(entry, file_, b.data, size, offset);
      }
      io_uring_sqe_set_data64(entry, ++number_);
      under_way_.emplace(number_, std::move(b));
      ++prepared;
      if (single_) io_uring_submit(&ring_);
    }
    left_.erase(left_.begin(), left_.begin() + static_cast<std::ptrdiff_t>(prepared));
  }

  void reap(BlockQueue& queue) {
    const int error = io_uring_submit_and_wait(&ring_, 1);
    if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY) {
      for (const auto& [number, block] : under_way_) (void)queue.account(block, error);
      under_way_.clear();
      return;
    }
    io_uring_cqe* done = nullptr;
    while (io_uring_peek_cqe(&ring_, &done) == 0 && done != nullptr) {
      const auto at = under_way_.find(io_uring_cqe_get_data64(done));
      if (at != under_way_.end()) {
        if (auto rest = queue.account(at->second, done->res)) left_.push_back(*rest);
        under_way_.erase(at);
      }
      io_uring_cqe_seen(&ring_, done);
    }
  }

  int file_;
  std::size_t depth_;
  bool single_;
  bool overlaps_;
  io_uring ring_{};
  int error_;
  std::uint64_t number_ = 0;
  std::unordered_map<std::uint64_t, Block> under_way_;
  std::vector<Block> left_;  ///< taken, and not yet submitted
};

}  // namespace

std::unique_ptr<Ring> Ring::make(int file, const FileQueueSettings& settings) {
  if (!knows_operations()) return nullptr;
  auto ring = std::make_unique<KernelRing>(file, settings);
  if (!ring->works()) return nullptr;
  return ring;
}

#else

std::unique_ptr<Ring> Ring::make(int /*file*/, const FileQueueSettings& /*settings*/) {
  return nullptr;
}

#endif

}  // namespace trireme::io
