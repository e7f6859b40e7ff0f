// SPDX-License-Identifier: Apache-2.0
// Reading a checkpoint: any box of any array, and the proof that it is whole.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "trireme/checkpoint/state.hpp"
#include "trireme/h5/file.hpp"
#include "trireme/tensor/box.hpp"

namespace trireme {

/// Not collective: each rank has its own and reads what it needs. Files are not trusted:
/// each byte that is used was under a checksum. Every error names the folder, the tensor or
/// file, and the reason.
class CheckpointReader {
 public:
  /// Throws Error if the folder is none, is incomplete, damaged or of a newer format. Looks at
  /// checkpoint.h5 alone.
  explicit CheckpointReader(const std::string& checkpoint_folder);

  [[nodiscard]] const RunState& state() const { return state_; }
  [[nodiscard]] bool has(const std::string& name) const;
  [[nodiscard]] Shape global_shape(const std::string& name) const;
  [[nodiscard]] DType dtype(const std::string& name) const;
  /// All tensors, by name.
  [[nodiscard]] std::vector<std::string> names() const;
  /// Boxes in which a tensor is stored.
  [[nodiscard]] std::int64_t pieces(const std::string& name) const;

  struct Shard {
    std::int64_t number = 0;
    std::int64_t bytes = 0;         ///< size of the file
    std::uint64_t sum = 0;          ///< XXH3 of its frame
    std::vector<h5::Extent> frame;  ///< all bytes that are no tensor's
  };
  /// Sorted by number.
  [[nodiscard]] const std::vector<Shard>& shards() const { return shards_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }

  /// Fills `to` from all pieces that overlap, and touches no other shard. `to` is host memory
  /// with the box's count in row-major order, and has the stored element type.
  void read(const std::string& name, const Box& box, const View& to);
  /// Also requires that the stored tensor has this global shape.
  void read(const std::string& name, const Shape& global, const Box& box, const View& to);

  /// Checks that every file is there in its size. Throws Error for the first that isn't.
  void check_files() const;
  /// Reads every byte of every file against its checksums and calls `progress` with the bytes
  /// of a shard when it is done. Throws Error for the first that is wrong.
  void verify(const std::function<void(std::int64_t bytes)>& progress);

 private:
  const h5::File& shard(std::int64_t number);

  std::string folder_;
  h5::File file_;  ///< checkpoint.h5
  RunState state_;
  std::vector<Shard> shards_;
  std::map<std::int64_t, h5::File> open_;  ///< lately used
};

}  // namespace trireme
