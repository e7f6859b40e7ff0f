// SPDX-License-Identifier: Apache-2.0
// Saves a run's state while the run goes on. A save is written to SAVE/global_stepN.tmp by a
// thread of each writer, synced, renamed by rank 0, and then named by `latest`. MPI is called
// by the caller's thread alone.
#pragma once

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
  std::string folder;        ///< SAVE
  bool async = true;         ///< copy the state, write behind training; else write it in place
  int writers_per_node = 0;  ///< 0: every rank that holds something
  std::string node;          ///< equal on ranks that share a machine: its name
  std::int64_t keep_last = 0;  ///< checkpoints that stay; 0: all
};

/// What became of a save; the same on all ranks.
struct SaveReport {
  std::int64_t iteration = 0;
  std::int64_t bytes = 0;    ///< size of all tensors, over all ranks
  double stall_seconds = 0;  ///< in which training stood, the longest of all ranks
  double write_seconds = 0;  ///< until all shards were on disk, of the slowest writer
  double total_seconds = 0;  ///< from start() until `latest` named it
  std::string failure;       ///< empty, or why there is no new checkpoint; the old ones stand
  bool disk_full = false;    ///< it failed for want of space or quota
  std::string note;          ///< rank 0: left-overs that were removed, or could not be
};

/// A device whose memory holds the state, and the stream in whose order it is copied. Both must
/// outlive the saver.
struct StateHome {
  Device& device;
  Stream& stream;
};

/// The copy of a device's state is in pinned host memory. Memory that ranks share
/// (writers_per_node) is not pinned. The copy then goes through this many pinned bytes, which
/// are at most 64 MiB.
[[nodiscard]] std::size_t pinned_ring_bytes(std::size_t copy);

class CheckpointSaver {
 public:
  /// `held` lists this rank's boxes, the same for all saves, in host memory unless they have a
  /// `home`. The boxes must be valid during each start(), and without async until the save is
  /// done. Plans who writes what, and takes memory for a copy if async or writers_per_node is
  /// set, or if there is a home. Collective over `world`, which must outlive the saver. Throws
  /// Error, on all ranks, if the boxes of all ranks don't tile every array, or memory is short.
  CheckpointSaver(const SaveOptions& options, const std::vector<HeldPiece>& held,
                  const std::optional<StateHome>& home, Communicator& world);
  /// Gives up a save that is under way: it stays a .tmp folder.
  ~CheckpointSaver();
  CheckpointSaver(const CheckpointSaver&) = delete;
  CheckpointSaver& operator=(const CheckpointSaver&) = delete;

  /// Memory for the copy, of this rank, and for its way there.
  [[nodiscard]] std::size_t staging_bytes() const;
  [[nodiscard]] std::int64_t bytes() const;    ///< size of a checkpoint's tensors, all ranks
  [[nodiscard]] std::int64_t writers() const;  ///< files beside checkpoint.h5

  /// Copies the state and begins to write it. None may be under way. Rank 0's state counts.
  /// Collective.
  void start(const RunState& state);
  /// Between start() and the report; the same on all ranks.
  [[nodiscard]] bool under_way() const;
  /// Whether advance() need not wait for this rank. Not collective, returns at once.
  [[nodiscard]] bool idle() const;
  /// When all ranks are idle(): the next phase, or the end with its report. Collective.
  std::optional<SaveReport> advance();
  /// Waits for the end. Collective. Empty if no save is under way.
  std::optional<SaveReport> wait();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme
