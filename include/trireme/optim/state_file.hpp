// SPDX-License-Identifier: Apache-2.0
// The optimizer's state in a file of this rank. An update brings the state through a small pool
// of memory, tile by tile.
//
// A tile holds a stretch of a group's elements in every array: masters first, where there are
// masters, then the arrays of the optimizer. Tile k stands in slot k modulo the number of
// slots. While one slot is being updated, the next tile is read into another slot, and a third
// slot is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "trireme/io/file_queue.hpp"
#include "trireme/optim/config.hpp"
#include "trireme/optim/layout.hpp"
#include "trireme/tensor/stored_array.hpp"

namespace trireme {

/// What the updates moved so far, and how long they waited.
struct OffloadTraffic {
  std::int64_t read = 0;  ///< bytes
  std::int64_t written = 0;
  double busy = 0;    ///< seconds in which the disk had work
  double waited = 0;  ///< seconds in which an update waited for the disk
  friend OffloadTraffic operator-(const OffloadTraffic& a, const OffloadTraffic& b) {
    return {a.read - b.read, a.written - b.written, a.busy - b.busy, a.waited - b.waited};
  }
};

class StateFile {
 public:
  struct Tile {
    std::size_t group = 0;
    std::int64_t first = 0;  ///< element of the group's arrays, which hold this rank's blocks
    std::int64_t count = 0;
    std::int64_t offset = 0;  ///< byte of the file
    std::size_t bytes = 0;
  };

  /// Makes a file whose arrays hold zeros, each of a type of `types`. The file has no name, so
  /// that the system removes it however the program ends. `rank` tells names of one process
  /// apart while a file system needs a name. A dry device has the pool and no file. Throws
  /// Error if there is no such folder, or no space in it.
  StateFile(const Exec& ex, const FlatLayout& layout, const OffloadConfig& config,
            std::vector<DType> types, int rank);
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  /// All tiles, in the order of groups.
  [[nodiscard]] const std::vector<Tile>& tiles() const { return tiles_; }
  /// Waits for a tile, and returns its arrays in memory. Starts to read the next tile. Tiles
  /// are opened in order, and the first one follows the last. Throws Error.
  [[nodiscard]] std::vector<View> open(std::size_t tile);
  /// Starts to write a tile that has been updated. Throws Error.
  void close(std::size_t tile);
  /// A group's array number `number`. The file must outlive the array. Reads and writes see
  /// all tiles that were closed.
  [[nodiscard]] std::shared_ptr<StoredArray> array(std::size_t number, std::size_t group);

  [[nodiscard]] std::size_t pool_bytes() const { return pool_.view().bytes(); }
  [[nodiscard]] std::int64_t file_bytes() const { return file_bytes_; }
  [[nodiscard]] OffloadTraffic traffic() const;
  /// "io_uring, O_DIRECT".
  [[nodiscard]] std::string engine() const;

 private:
  class Array;
  struct Slot {
    std::byte* memory = nullptr;
    std::size_t tile = kNone;
    FileQueue::Ticket reading;
    FileQueue::Ticket writing;
  };
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  void lay_out(const FlatLayout& layout, std::int64_t tile);
  void make_file(int rank);
  void use_file();
  [[nodiscard]] Slot& slot_of(std::size_t tile) { return slots_[tile % slots_.size()]; }
  /// Where an array begins within a tile.
  [[nodiscard]] std::size_t begin_of(const Tile& tile, std::size_t array) const;
  void start_reading(std::size_t tile);
  void wait(FileQueue::Ticket& ticket);
  /// Waits for all transfers, and forgets what the slots hold.
  void settle();
  /// Moves elements of one array between the file and host memory.
  void move(std::size_t array, std::size_t group, std::int64_t first, std::int64_t count,
            std::byte* host, bool writes);

  OffloadConfig config_;
  std::vector<DType> types_;
  std::vector<Tile> tiles_;
  std::vector<std::size_t> first_tile_;  ///< each group's; one more entry at the end
  std::int64_t file_bytes_ = 0;
  Tensor pool_;
  std::vector<Slot> slots_;
  int file_ = -1;
  bool direct_ = false;
  std::unique_ptr<FileQueue> queue_;  ///< null on a dry device
  double waited_ = 0;
};

}  // namespace trireme
