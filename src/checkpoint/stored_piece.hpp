// SPDX-License-Identifier: Apache-2.0
// A piece in its shard: a dataset of blocks, each of whole rows along the first axis. A block
// has a checksum beside HDF5's Fletcher32, since Fletcher32 accepts a hole full of zeros.
// Attributes: offset, global_shape, block_rows, and sums: the checksums of the blocks.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "trireme/checkpoint/piece.hpp"
#include "trireme/h5/file.hpp"

namespace trireme::checkpoint {

/// The dataset of a piece: "NAME@0,128".
[[nodiscard]] std::string dataset_name(const std::string& name, const Box& box);

/// Writes a piece. Returns where its elements are in the file. Throws Error, and does so soon
/// after `cancelled` becomes true.
[[nodiscard]] std::vector<h5::Extent> write_piece(h5::File& shard, const Piece& piece,
                                                  const std::atomic<bool>& cancelled);

class StoredPiece {
 public:
  /// Throws Error unless the dataset is the piece at `box` of an array of this type and shape.
  StoredPiece(const h5::File& shard, const std::string& dataset, DType dtype,
              const Shape& global, const Box& box);

  /// Reads `common`, which lies in both the piece and `region`. `to` is all of `region`.
  void read(const Box& common, const Box& region, const View& to) const;
  /// Reads the whole piece and checks every block against its checksum.
  void verify() const;

 private:
  [[nodiscard]] Box slab(std::int64_t row, std::int64_t end) const;
  void read_slab(const Box& slab, std::byte* to) const;

  h5::Dataset dataset_;
  Box box_;
  std::int64_t block_rows_ = 0;
  std::vector<std::int64_t> checksums_;
};

}  // namespace trireme::checkpoint
