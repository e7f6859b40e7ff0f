// SPDX-License-Identifier: Apache-2.0
// Memory shared by the ranks of an emulated NCCL communicator. Each ordered pair of ranks has a
// box, which holds one piece of a message at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace trireme::emulator {

inline constexpr std::size_t kPiece = std::size_t{64} << 10U;
inline constexpr int kMostRanks = 64;

struct Mailbox {
  std::atomic<std::uint32_t> full;
  std::uint32_t kind;   // kind of communication
  std::uint64_t whole;  // bytes of the whole message
  std::byte piece[kPiece];
};

class Mailboxes {
 public:
  /// Returns when all ranks have called the constructor. Each passes its device.
  Mailboxes(std::string name, int ranks, int rank, int device);
  ~Mailboxes();
  Mailboxes(const Mailboxes&) = delete;
  Mailboxes& operator=(const Mailboxes&) = delete;

  [[nodiscard]] int ranks() const { return ranks_; }
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool devices_differ() const;
  [[nodiscard]] Mailbox& box(int from, int to);
  /// Ends this rank's part. With `wait`, waits until all other ranks end theirs.
  void leave(bool wait);
  [[nodiscard]] bool left() const { return left_; }
  /// Gathers the numbers of all ranks, and waits for all.
  void tell_all(const std::int64_t (&mine)[2], std::int64_t (*all)[2]);

 private:
  struct Head;
  [[nodiscard]] std::size_t bytes() const;
  void wait_for(std::atomic<std::uint32_t>& count, std::uint32_t value) const;

  std::string name_;
  int ranks_;
  int rank_;
  bool left_ = false;
  Head* head_ = nullptr;
};

}  // namespace trireme::emulator
