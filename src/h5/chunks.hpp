// SPDX-License-Identifier: Apache-2.0
// Reads and writes whole chunks under Fletcher32, past HDF5's cache and its slower checksum:
// twice as fast.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "trireme/core/dtype.hpp"
#include "trireme/core/shape.hpp"

#include "library.hpp"

namespace trireme::h5 {

/// The checksum that HDF5 stores behind a chunk.
[[nodiscard]] std::uint32_t fletcher32(const std::byte* data, std::size_t bytes);

class Chunks {
 public:
  /// A dataset whose elements have type `dtype` in memory. Looks at how HDF5 stores it.
  Chunks(hid_t dataset, DType dtype, const Shape& shape, std::string where);

  /// Indices of the first axis in a chunk. 0 if this class can't read the dataset: its chunks
  /// are not whole rows of the elements' bytes and a checksum.
  [[nodiscard]] std::int64_t rows() const { return rows_; }

  /// Reads the chunk that begins at index `row`. False if the library must read the chunk,
  /// which is missing, stored in another way, or damaged.
  [[nodiscard]] bool read(std::int64_t row, void* to);
  /// Has the system begin to read the chunks from index `row` to `end`, or as many as the
  /// system reads ahead. Otherwise each read() would wait for the disk.
  void read_ahead(std::int64_t row, std::int64_t end);
  void write(std::int64_t row, const void* from);

 private:
  hid_t dataset_;
  std::string where_;
  std::int64_t rows_ = 0;
  std::size_t bytes_ = 0;   ///< size of a chunk's elements
  std::int64_t ahead_ = 0;  ///< index up to which read_ahead() has come
  std::vector<std::byte> stored_;
};

}  // namespace trireme::h5
