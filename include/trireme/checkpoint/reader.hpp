// SPDX-License-Identifier: Apache-2.0
// Reading a checkpoint: any box of any array, and the proof that the checkpoint is whole.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "trireme/checkpoint/state.hpp"
#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/h5/file.hpp"

namespace trireme {

/// Not collective: each rank has a reader of its own and reads what the rank needs. Files are
/// not trusted: every byte in use was checked against a checksum. Every error names the folder,
/// the tensor or file, and the reason.
class CheckpointReader final : public WeightSource {
 public:
  /// Throws Error if the folder is missing or no checkpoint, incomplete, damaged or of a newer
  /// format. Reads checkpoint.h5 alone.
  explicit CheckpointReader(const std::string& checkpoint_folder);

  [[nodiscard]] const RunState& state() const { return state_; }
  [[nodiscard]] bool has(const std::string& name) const override;
  [[nodiscard]] Shape global_shape(const std::string& name) const override;
  [[nodiscard]] DType dtype(const std::string& name) const override;
  [[nodiscard]] std::vector<std::string> names() const override;
  /// The number of boxes in which a tensor is stored.
  [[nodiscard]] std::int64_t pieces(const std::string& name) const;

  struct Shard {
    std::int64_t number = 0;
    std::int64_t bytes = 0;         ///< size of the file
    std::uint64_t sum = 0;          ///< XXH3 of its frame
    std::vector<h5::Extent> frame;  ///< all bytes of the file outside of tensors
  };
  /// Every shard, sorted by number.
  [[nodiscard]] const std::vector<Shard>& shards() const { return shards_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }

  using WeightSource::read;
  /// Fills `to` from all pieces that overlap the box, and opens no other shard.
  void read(const std::string& name, const Shape& global, const Box& box,
            const View& to) override;

  /// Checks that every file exists in its size. Throws Error for the first that doesn't.
  void check_files() const;
  /// Checks every byte of every file against its checksum. Calls `progress` with the bytes of
  /// each shard when the shard is done. Throws Error for the first damaged file.
  void verify(const std::function<void(std::int64_t bytes)>& progress);

 private:
  const h5::File& shard(std::int64_t number);

  std::string folder_;
  h5::File file_;  ///< checkpoint.h5
  RunState state_;
  std::vector<Shard> shards_;
  std::map<std::int64_t, h5::File> open_;  ///< opened lately
};

}  // namespace trireme
