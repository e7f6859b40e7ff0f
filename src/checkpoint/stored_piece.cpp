// SPDX-License-Identifier: Apache-2.0
// Blocks of rows: writing, reading and checking.
#include "stored_piece.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <thread>

#include "trireme/h5/checksum.hpp"

namespace trireme::checkpoint {

namespace {

constexpr std::int64_t kBlockBytes = std::int64_t{1} << 20U;
constexpr std::int64_t kMostBlocks = 512;  // a piece's checksums must fit its header
constexpr std::int64_t kSlabBytes = std::int64_t{32} << 20U;  // moved in one call of HDF5

std::vector<std::int64_t> list(const Shape& shape) {
  return {shape.extents().begin(), shape.extents().end()};
}

std::int64_t row_bytes(const Shape& extent, DType dtype) {
  return extent.count() / extent[0] * static_cast<std::int64_t>(size_of(dtype));
}

std::int64_t block_rows_of(const Shape& extent, DType dtype) {
  const std::int64_t row = row_bytes(extent, dtype);
  const std::int64_t bytes = std::max(kBlockBytes, extent[0] * row / kMostBlocks);
  return std::clamp<std::int64_t>((bytes + row - 1) / row, 1, extent[0]);
}

/// Rows of a slab, which is whole blocks.
std::int64_t slab_rows_of(std::int64_t block_rows, std::int64_t row) {
  return std::max<std::int64_t>(1, kSlabBytes / (block_rows * row)) * block_rows;
}

/// Copies `common` from an array that fills `from_box` into an array that fills `to_box`.
void copy_common(const std::byte* from, const Box& from_box, const Box& common, const View& to,
                 const Box& to_box) {
  const int last = common.extent.rank() - 1;
  const std::size_t size = size_of(to.dtype());
  const std::size_t run = static_cast<std::size_t>(common.extent[last]) * size;
  const std::int64_t runs = common.extent.count() / common.extent[last];
  for (std::int64_t i = 0; i < runs; ++i) {
    std::int64_t rest = i;
    std::int64_t from_row = 0;
    std::int64_t to_row = 0;
    std::int64_t from_stride = 1;
    std::int64_t to_stride = 1;
    for (int axis = last - 1; axis >= 0; --axis) {
      const std::int64_t at = common.offset[axis] + rest % common.extent[axis];
      rest /= common.extent[axis];
      from_row += (at - from_box.offset[axis]) * from_stride;
      to_row += (at - to_box.offset[axis]) * to_stride;
      from_stride *= from_box.extent[axis];
      to_stride *= to_box.extent[axis];
    }
    const std::int64_t from_at =
        from_row * from_box.extent[last] + common.offset[last] - from_box.offset[last];
    const std::int64_t to_at =
        to_row * to.row_stride() + common.offset[last] - to_box.offset[last];
    std::memcpy(static_cast<std::byte*>(to.raw()) + static_cast<std::size_t>(to_at) * size,
                from + static_cast<std::size_t>(from_at) * size, run);
  }
}

/// Memory for one slab at a time.
class Scratch {
 public:
  std::byte* of(const Box& slab, DType dtype) {
    const std::size_t bytes = static_cast<std::size_t>(slab.count()) * size_of(dtype);
    if (bytes > bytes_) memory_ = std::make_unique_for_overwrite<std::byte[]>(bytes_ = bytes);
    return memory_.get();
  }

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::size_t bytes_ = 0;
};

/// Whether the rows of `part` are adjacent in `region`, as in a piece.
bool rows_are_adjacent(const Box& part, const Box& common, const Box& region, const View& to) {
  if (!(part == common) || !to.contiguous()) return false;
  for (int axis = 1; axis < part.extent.rank(); ++axis) {
    if (part.extent[axis] != region.extent[axis]) return false;
  }
  return true;
}

}  // namespace

std::string dataset_name(const std::string& name, const Box& box) {
  return fmt::format("{}@{}", name, fmt::join(box.offset.extents(), ","));
}

std::vector<h5::Extent> write_piece(h5::File& shard, const Piece& piece,
                                    const std::atomic<bool>& cancelled) {
  const Shape& extent = piece.box.extent;
  const DType dtype = piece.data.dtype();
  const std::int64_t row = row_bytes(extent, dtype);
  const std::int64_t block = block_rows_of(extent, dtype);
  auto dataset = shard.create_dataset(dataset_name(piece.name, piece.box), dtype, extent,
                                      {.chunk = block, .checksum = true});
  const std::int64_t in_row = extent.count() / extent[0];
  std::vector<std::int64_t> sums;
  Scratch scratch;
  Box slab = Box::whole(extent);
  for (std::int64_t at = 0; at < extent[0]; at += slab.extent[0]) {
    TRM_REQUIRE(!cancelled, "{}: the run ends before it is written", shard.path());
    slab.offset[0] = at;
    slab.extent[0] = std::min(slab_rows_of(block, row), extent[0] - at);
    const std::byte* const data = elements_of(piece, at * in_row, slab.extent[0] * in_row,
                                              piece.stored ? scratch.of(slab, dtype) : nullptr);
    for (std::int64_t b = at; b < at + slab.extent[0]; b += block) {
      const auto bytes = static_cast<std::size_t>(std::min(block, extent[0] - b) * row);
      sums.push_back(
          std::bit_cast<std::int64_t>(h5::checksum_of(data + (b - at) * row, bytes)));
    }
    dataset.write(slab, ConstView(data, dtype, slab.extent));
    std::this_thread::yield();  // HDF5 has one lock, which training needs too
  }
  dataset.set_attribute("offset", list(piece.box.offset));
  dataset.set_attribute("global_shape", list(piece.global));
  dataset.set_attribute("block_rows", block);
  dataset.set_attribute("sums", sums);
  shard.flush();  // reports a full disk, which closing a dataset would hide
  return dataset.extents();
}

StoredPiece::StoredPiece(const h5::File& shard, const std::string& dataset, DType dtype,
                         const Shape& global, const Box& box)
    : dataset_(shard.dataset(dataset)), box_(box) {
  TRM_REQUIRE(dataset_.dtype() == dtype && dataset_.shape() == box.extent &&
                  dataset_.integers("offset") == list(box.offset) &&
                  dataset_.integers("global_shape") == list(global),
              "{}: it is not the piece at {} of extent {} that checkpoint.h5 promises",
              dataset_.where(), box.offset.str(), box.extent.str());
  block_rows_ = dataset_.integer("block_rows");
  checksums_ = dataset_.integers("sums");
  const std::int64_t rows = box.extent[0];
  TRM_REQUIRE(block_rows_ > 0 && block_rows_ <= rows &&
                  static_cast<std::int64_t>(checksums_.size()) ==
                      (rows + block_rows_ - 1) / block_rows_,
              "{}: {} checksums do not fit blocks of {} rows", dataset_.where(),
              checksums_.size(), block_rows_);
}

/// Rows of the piece from `row` to `end`, or as many as one call moves, as a box in the piece.
Box StoredPiece::slab(std::int64_t row, std::int64_t end) const {
  Box slab = Box::whole(box_.extent);
  const std::int64_t most = slab_rows_of(block_rows_, row_bytes(box_.extent, dataset_.dtype()));
  slab.offset[0] = row;
  slab.extent[0] = std::min({most, end - row, box_.extent[0] - row});
  return slab;
}

void StoredPiece::read_slab(const Box& slab, std::byte* to) const {
  dataset_.read(slab, View(to, dataset_.dtype(), slab.extent));
  const std::int64_t row = row_bytes(box_.extent, dataset_.dtype());
  h5::require_checksums(dataset_.where(), {to, slab.offset[0], slab.extent[0], row},
                        block_rows_, checksums_);
}

void StoredPiece::read(const Box& common, const Box& region, const View& to) const {
  const std::int64_t rows = box_.extent[0];
  const std::int64_t first = common.offset[0] - box_.offset[0];
  const std::int64_t last = first + common.extent[0];
  // The first and last block may be needed in part only, and are then read alone. Blocks that
  // are needed whole may be read straight into `to`.
  const std::int64_t whole_end = last == rows ? rows : last / block_rows_ * block_rows_;
  Scratch scratch;
  for (std::int64_t at = first / block_rows_ * block_rows_; at < last;) {
    const bool whole = at >= first && at < whole_end;
    const Box here = slab(at, whole ? whole_end : at + block_rows_);
    at += here.extent[0];
    Box global = here;
    for (int axis = 0; axis < global.offset.rank(); ++axis) {
      global.offset[axis] += box_.offset[axis];
    }
    const Box part = intersect(global, common).value();
    if (rows_are_adjacent(global, part, region, to)) {
      read_slab(here,
                static_cast<std::byte*>(to.raw()) +
                    (global.offset[0] - region.offset[0]) * row_bytes(box_.extent, to.dtype()));
      continue;
    }
    read_slab(here, scratch.of(here, to.dtype()));
    copy_common(scratch.of(here, to.dtype()), global, part, to, region);
  }
}

void StoredPiece::verify() const {
  Scratch scratch;
  for (std::int64_t at = 0; at < box_.extent[0];) {
    const Box here = slab(at, box_.extent[0]);
    at += here.extent[0];
    read_slab(here, scratch.of(here, dataset_.dtype()));
  }
}

}  // namespace trireme::checkpoint
