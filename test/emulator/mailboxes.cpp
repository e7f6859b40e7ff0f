// SPDX-License-Identifier: Apache-2.0
// Mailboxes in POSIX shared memory. The name is removed once all ranks have mapped the memory.
#include "mailboxes.hpp"

#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "site.hpp"

namespace trireme::emulator {

// New shared memory is all zeros.
struct Mailboxes::Head {
  std::atomic<std::uint32_t> come;
  std::atomic<std::uint32_t> told;
  std::atomic<std::uint32_t> heard;
  std::atomic<std::uint32_t> left;
  std::uint32_t rounds[kMostRanks];  // each rank counts its own rounds
  std::int32_t devices[kMostRanks];
  std::int64_t said[kMostRanks][2];
};

Mailboxes::Mailboxes(std::string name, int ranks, int rank, int device)
    : name_(std::move(name)), ranks_(ranks), rank_(rank) {
  if (ranks > kMostRanks) fatal("an emulated communicator of %d ranks", ranks);
  const int file = shm_open(name_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes())) != 0) {
    fatal("no shared memory '%s'", name_.c_str());
  }
  void* const at = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (at == MAP_FAILED) fatal("shared memory '%s' can't be mapped", name_.c_str());
  head_ = static_cast<Head*>(at);
  head_->devices[rank] = device;
  ++head_->come;
  wait_for(head_->come, static_cast<std::uint32_t>(ranks));
  if (rank == 0) shm_unlink(name_.c_str());
}

Mailboxes::~Mailboxes() { munmap(head_, bytes()); }

std::size_t Mailboxes::bytes() const {
  return sizeof(Head) + static_cast<std::size_t>(ranks_ * ranks_) * sizeof(Mailbox);
}

void Mailboxes::wait_for(std::atomic<std::uint32_t>& count, std::uint32_t value) const {
  while (count < value) std::this_thread::yield();
}

bool Mailboxes::devices_differ() const {
  for (int a = 0; a < ranks_; ++a) {
    for (int b = a + 1; b < ranks_; ++b) {
      if (head_->devices[a] == head_->devices[b]) return false;
    }
  }
  return true;
}

Mailbox& Mailboxes::box(int from, int to) {
  static_assert(sizeof(Head) % alignof(Mailbox) == 0);
  auto* const boxes = reinterpret_cast<Mailbox*>(head_ + 1);
  return boxes[from * ranks_ + to];
}

void Mailboxes::leave(bool wait) {
  left_ = !wait;
  ++head_->left;
  if (wait) wait_for(head_->left, static_cast<std::uint32_t>(ranks_));
}

void Mailboxes::tell_all(const std::int64_t (&mine)[2], std::int64_t (*all)[2]) {
  const std::uint32_t round = ++head_->rounds[rank_];
  const std::uint32_t everyone = round * static_cast<std::uint32_t>(ranks_);
  std::memcpy(head_->said[rank_], mine, sizeof(mine));
  ++head_->told;
  wait_for(head_->told, everyone);
  std::memcpy(all, head_->said, sizeof(mine) * static_cast<std::size_t>(ranks_));
  ++head_->heard;
  wait_for(head_->heard, everyone);
}

}  // namespace trireme::emulator
