// SPDX-License-Identifier: Apache-2.0
// Who writes what a group of ranks holds, and from which memory.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trireme/checkpoint/piece.hpp"
#include "trireme/checkpoint/saver.hpp"
#include "trireme/comm/shared_memory.hpp"

#include "manifest.hpp"
#include "ring.hpp"

namespace trireme::checkpoint {

/// Ranks share a writer: the first of each of `writers_per_node` equal parts of a node's ranks;
/// with 0 each rank writes by itself.
class Staging {
 public:
  /// Collective over `world`. `mine`: what this rank contributes, on `home` or in host memory.
  /// Throws Error, on all ranks, if memory is short.
  Staging(const SaveOptions& options, std::vector<Piece> mine,
          const std::optional<StateHome>& home, Communicator& world);

  /// Has the system hand out the copy's pages, so that the first take() needn't wait for it.
  void touch();
  /// Takes the state as it is now. Collective over the ranks that share a writer.
  void take();

  /// What this rank is to write: in memory that only take() changes; without a copy, `mine`
  /// itself.
  [[nodiscard]] const std::vector<Piece>& to_write() const { return to_write_; }
  /// This rank's memory for the copy, and for the way there.
  [[nodiscard]] std::size_t bytes() const {
    return bytes_ + (ring_ ? pinned_ring_bytes(bytes_) : 0);
  }
  /// The rank in `world` that writes what this one contributes.
  [[nodiscard]] int writer() const { return writer_; }

 private:
  [[nodiscard]] std::byte* memory() const;
  void take_memory();
  void join_writers(const SaveOptions& options, Communicator& world);
  void collect();

  std::vector<Piece> mine_;
  std::optional<StateHome> home_;
  std::vector<std::size_t> offsets_;  ///< where each of them begins in this rank's copy
  std::size_t bytes_ = 0;
  int writer_ = 0;
  std::unique_ptr<Communicator> group_;   ///< ranks that share a writer, which is the first
  std::unique_ptr<SharedMemory> shared_;  ///< their copies, or
  std::optional<Ring> ring_;              ///< the way there from a device
  std::unique_ptr<std::byte[]> own_;      ///< this rank's, or
  std::optional<HostBuffer> pinned_;      ///< this rank's copy of a state on a device
  std::vector<Piece> to_write_;
};

}  // namespace trireme::checkpoint
