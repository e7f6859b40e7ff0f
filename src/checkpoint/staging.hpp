// SPDX-License-Identifier: Apache-2.0
// Which rank writes what several ranks hold, and from which memory.
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

/// Divides a node's ranks into `writers_per_node` equal runs, whose first rank writes for all
/// of its run. With writers_per_node = 0, each rank writes for itself.
class Staging {
 public:
  /// `mine` lists the pieces that this rank contributes, on `home` or in host memory.
  /// Collective over `world`. Throws Error, on all ranks, if memory is short.
  Staging(const SaveOptions& options, std::vector<Piece> mine,
          const std::optional<StateHome>& home, Communicator& world);

  /// Touches the copy's pages, so that the first take() does not wait for the system.
  void touch();
  /// Copies the state of this moment. Collective over the ranks that share a writer.
  void take();

  /// The pieces that this rank writes. Only take() changes their memory. If no copy is made,
  /// these are the pieces `mine` themselves.
  [[nodiscard]] const std::vector<Piece>& to_write() const { return to_write_; }
  /// This rank's memory for the copy, and for chunks on the way to the copy.
  [[nodiscard]] std::size_t bytes() const {
    return bytes_ + (ring_ ? pinned_ring_bytes(bytes_) : 0);
  }
  /// The rank in `world` that writes this rank's pieces.
  [[nodiscard]] int writer() const { return writer_; }

 private:
  [[nodiscard]] std::byte* memory() const;
  void take_memory();
  void join_writers(const SaveOptions& options, Communicator& world);
  void collect();

  std::vector<Piece> mine_;
  std::optional<StateHome> home_;
  std::vector<std::size_t> offsets_;  ///< where each piece of mine_ begins in this rank's copy
  std::size_t bytes_ = 0;
  int writer_ = 0;
  std::unique_ptr<Communicator> group_;   ///< ranks that share a writer, their first rank
  std::unique_ptr<SharedMemory> shared_;  ///< copies of these ranks, or null
  std::optional<Ring> ring_;              ///< chunks on the way from a device to shared_
  std::unique_ptr<std::byte[]> own_;      ///< this rank's copy of a state in host memory
  std::optional<HostBuffer> pinned_;      ///< this rank's copy of a state on a device
  std::vector<Piece> to_write_;
};

}  // namespace trireme::checkpoint
