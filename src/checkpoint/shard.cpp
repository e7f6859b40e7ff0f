// SPDX-License-Identifier: Apache-2.0
// Writing and opening shards.
#include "shard.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <zlib.h>

#include "durable.hpp"

namespace trireme::checkpoint {

namespace {

constexpr const char* kFormat = "trireme checkpoint";
constexpr std::size_t kWriteBack = std::size_t{64} << 20U;

std::vector<std::int64_t> list(const Shape& shape) {
  return {shape.extents().begin(), shape.extents().end()};
}

/// All bytes of a file but those in `data`.
std::vector<h5::Extent> complement(std::vector<h5::Extent> data, std::int64_t bytes) {
  std::sort(data.begin(), data.end(),
            [](const h5::Extent& a, const h5::Extent& b) { return a.offset < b.offset; });
  std::vector<h5::Extent> rest;
  std::int64_t at = 0;
  for (const h5::Extent& d : data) {
    if (d.offset > at) rest.push_back({at, d.offset - at});
    at = d.offset + d.bytes;
  }
  if (at < bytes) rest.push_back({at, bytes - at});
  return rest;
}

/// Returns where its elements are in the file.
std::vector<h5::Extent> write_piece(h5::File& file, const Piece& piece) {
  auto dataset = file.create_dataset(dataset_name(piece.name, piece.box), piece.data.dtype(),
                                     piece.box.extent, {.checksum = true});
  dataset.write(piece.data);
  dataset.set_attribute("offset", list(piece.box.offset));
  dataset.set_attribute("global_shape", list(piece.global));
  file.flush();  // here a full disk is told; a closing dataset would hide it
  return dataset.extents();
}

}  // namespace

std::string shard_file(std::int64_t number) { return fmt::format("shard-{:05}.h5", number); }

std::string dataset_name(const std::string& name, const Box& box) {
  return fmt::format("{}@{}", name, fmt::join(box.offset.extents(), ","));
}

void stamp(h5::File& file, std::int64_t iteration) {
  file.set_attribute("format", kFormat);
  file.set_attribute("format_version", kFormatVersion);
  file.set_attribute("iteration", iteration);
}

void require_stamp(const h5::File& file) {
  TRM_REQUIRE(file.has_attribute("format") && file.text("format") == kFormat,
              "{}: not part of a checkpoint", file.path());
  const std::int64_t version = file.integer("format_version");
  TRM_REQUIRE(version == kFormatVersion,
              "{}: its format has version {}; this program reads version {}", file.path(),
              version, kFormatVersion);
}

std::uint32_t sum_of(const std::string& path, const std::vector<h5::Extent>& extents) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> buffer(1 << 16);
  uLong sum = crc32_z(0, nullptr, 0);
  for (const h5::Extent& e : extents) {
    file.seekg(e.offset);
    for (std::int64_t left = e.bytes; left > 0;) {
      const auto n = std::min(left, static_cast<std::int64_t>(buffer.size()));
      TRM_REQUIRE(file.read(buffer.data(), n), "{}: cannot read {} bytes at {}", path, e.bytes,
                  e.offset);
      sum =
          crc32_z(sum, reinterpret_cast<const Bytef*>(buffer.data()), static_cast<z_size_t>(n));
      left -= n;
    }
  }
  return static_cast<std::uint32_t>(sum);
}

std::int64_t size_of_file(const std::string& path) {
  std::error_code code;
  const auto bytes = std::filesystem::file_size(path, code);
  TRM_REQUIRE(!code, "{}: {}", path, code.message());
  return static_cast<std::int64_t>(bytes);
}

CheckpointReader::Shard write_shard(const std::string& folder, std::int64_t number,
                                    std::int64_t iteration, const std::vector<Piece>& pieces,
                                    const std::atomic<bool>& cancelled) {
  const std::string path = fmt::format("{}/{}", folder, shard_file(number));
  try {
    std::vector<h5::Extent> data;
    h5::File file(path, h5::Mode::create, {.checksums = true});
    stamp(file, iteration);
    std::size_t waiting = 0;
    for (const Piece& piece : pieces) {
      TRM_REQUIRE(!cancelled, "{}: the run ends before it is written", path);
      const auto extents = write_piece(file, piece);
      data.insert(data.end(), extents.begin(), extents.end());
      waiting += piece.data.bytes();
      if (waiting < kWriteBack) continue;
      start_sync(path);
      waiting = 0;
    }
    file.close();
    sync(path);
    CheckpointReader::Shard shard;
    shard.number = number;
    shard.bytes = size_of_file(path);
    shard.frame = complement(std::move(data), shard.bytes);
    shard.sum = sum_of(path, shard.frame);
    return shard;
  } catch (const Error&) {  // HDF5 may never close it: its space is given back at least
    std::error_code ignored;
    std::filesystem::resize_file(path, 0, ignored);
    throw;
  }
}

h5::File open_shard(const std::string& folder, const CheckpointReader::Shard& record,
                    std::int64_t iteration) {
  const std::string path = fmt::format("{}/{}", folder, shard_file(record.number));
  const std::int64_t bytes = size_of_file(path);
  TRM_REQUIRE(bytes == record.bytes, "{}: it has {} bytes and should have {}", path, bytes,
              record.bytes);
  // Before HDF5 sees it: that trusts some of what it finds, and can crash on damage.
  TRM_REQUIRE(sum_of(path, record.frame) == record.sum,
              "{}: damaged: its checksum is not the one that was noted when it was written",
              path);
  h5::File file(path, h5::Mode::read);
  require_stamp(file);
  TRM_REQUIRE(file.integer("iteration") == iteration,
              "{}: it is of iteration {}, the checkpoint of {}", file.path(),
              file.integer("iteration"), iteration);
  return file;
}

}  // namespace trireme::checkpoint
