// SPDX-License-Identifier: Apache-2.0
// Saves a run's state while the run goes on. A thread of each writer writes and syncs a shard
// in SAVE/global_stepN.MARK.tmp. Rank 0 renames the folder, and puts the new name in `latest`.
// Only the caller's thread calls MPI.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trireme/checkpoint/piece.hpp"
#include "trireme/checkpoint/state.hpp"
#include "trireme/comm/communicator.hpp"
#include "trireme/device/device.hpp"

namespace trireme {

struct SaveOptions {
  std::string folder;          ///< SAVE
  bool async = true;           ///< write a copy behind training; else training waits
  int writers_per_node = 0;    ///< 0: every rank that holds something
  std::string node;            ///< equal on ranks that share a machine: its name
  std::int64_t keep_last = 0;  ///< checkpoints that stay; 0: all
  /// Throws Error if SAVE is no longer this run's. Rank 0 calls this before a save makes or
  /// renames a folder, on any thread.
  std::function<void()> require_owner{};
};

/// The result of a save; equal on all ranks.
struct SaveReport {
  std::int64_t iteration = 0;
  std::int64_t bytes = 0;    ///< size of all tensors, over all ranks
  double stall_seconds = 0;  ///< time that training stood still, the longest of all ranks
  double write_seconds = 0;  ///< until all shards were on disk, of the slowest writer
  double total_seconds = 0;  ///< from start() until `latest` named the checkpoint
  std::string failure;       ///< empty, or why there is no new checkpoint; older ones stay
  bool disk_full = false;    ///< whether disk space or quota ran out
  bool vanished = false;     ///< whether SAVE was moved or removed during the save
  std::string note;          ///< rank 0: leftovers that were removed, or could not be
};

/// A device whose memory holds the state, and the stream that orders the copy. Both must
/// outlive the saver.
struct StateHome {
  Device& device;
  Stream& stream;
};

/// Bytes of pinned memory through which `copy` bytes of a device's state go into memory that
/// ranks share (writers_per_node) and that is not pinned. At most 64 MiB. Without sharing, the
/// whole copy is pinned.
[[nodiscard]] std::size_t pinned_ring_bytes(std::size_t copy);

class CheckpointSaver {
 public:
  /// `held` lists this rank's boxes, equal for all saves, in host memory unless the boxes have
  /// a `home`. The boxes must be valid during each start(), and without async until the save is
  /// done. Plans who writes what. Takes memory for a copy if async, writers_per_node or a home
  /// is set. Collective over `world`, which must outlive the saver. Throws Error, on all ranks,
  /// if the boxes of all ranks don't tile every array, or memory is short.
  CheckpointSaver(const SaveOptions& options, const std::vector<HeldPiece>& held,
                  const std::optional<StateHome>& home, Communicator& world);
  /// Gives up a save that is under way, whose files stay in the temporary folder.
  ~CheckpointSaver();
  CheckpointSaver(const CheckpointSaver&) = delete;
  CheckpointSaver& operator=(const CheckpointSaver&) = delete;

  /// Memory of this rank for the copy, and for chunks on the way to the copy.
  [[nodiscard]] std::size_t staging_bytes() const;
  [[nodiscard]] std::int64_t bytes() const;    ///< size of a checkpoint's tensors, all ranks
  [[nodiscard]] std::int64_t writers() const;  ///< files beside checkpoint.h5

  /// Copies the state and begins to write the copy. No save may be under way. Rank 0's `state`
  /// is saved. Collective.
  void start(const RunState& state);
  /// Whether a save has started and not yet reported; equal on all ranks.
  [[nodiscard]] bool under_way() const;
  /// Whether advance() would not wait for this rank. Not collective, returns at once.
  [[nodiscard]] bool idle() const;
  /// Takes the next phase, or ends with the report, once all ranks are idle(). Collective.
  std::optional<SaveReport> advance();
  /// Waits for the report. Collective. Empty if no save is under way.
  std::optional<SaveReport> wait();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme
