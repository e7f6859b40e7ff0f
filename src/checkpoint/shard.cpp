// SPDX-License-Identifier: Apache-2.0
// Writing and opening shards.
#include "shard.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <zlib.h>

#include "trireme/core/replacement.hpp"
#include "trireme/h5/checksum.hpp"

#include "durable.hpp"
#include "stored_piece.hpp"

namespace trireme::checkpoint {

namespace {

constexpr const char* kFormat = "trireme checkpoint";
constexpr std::size_t kWriteBack = std::size_t{64} << 20U;

}  // namespace

std::string shard_file(std::int64_t number) { return fmt::format("shard-{:05}.h5", number); }

void stamp(h5::File& file, std::int64_t iteration) {
  file.set_attribute("format", kFormat);
  file.set_attribute("format_version", kFormatVersion);
  file.set_attribute("iteration", iteration);
}

void require_stamp(const h5::File& file) {
  TRM_REQUIRE(file.has_attribute("format") && file.text("format") == kFormat,
              "{}: not part of a checkpoint", file.path());
  const std::int64_t version = file.integer("format_version");
  TRM_REQUIRE(version >= kOldestVersion && version <= kFormatVersion,
              "{}: its format has version {}; this program reads versions {} to {}",
              file.path(), version, kOldestVersion, kFormatVersion);
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
      const auto extents = write_piece(file, piece, cancelled);
      data.insert(data.end(), extents.begin(), extents.end());
      waiting += piece.data.bytes();
      if (waiting < kWriteBack) continue;
      start_sync(path);
      waiting = 0;
    }
    file.close();
    sync_to_disk(path);
    CheckpointReader::Shard shard;
    shard.number = number;
    shard.bytes = h5::size_of_file(path);
    shard.frame = h5::complement(std::move(data), shard.bytes);
    shard.sum = h5::checksum_of(path, shard.frame);
    return shard;
  } catch (const Error&) {  // HDF5 may keep the file open: at least free its space
    std::error_code ignored;
    std::filesystem::resize_file(path, 0, ignored);
    throw;
  }
}

h5::File open_shard(const std::string& folder, const CheckpointReader::Shard& record,
                    std::int64_t iteration) {
  const std::string path = fmt::format("{}/{}", folder, shard_file(record.number));
  const std::int64_t bytes = h5::size_of_file(path);
  TRM_REQUIRE(bytes == record.bytes, "{}: it has {} bytes and should have {}", path, bytes,
              record.bytes);
  // Check before HDF5 opens the file: HDF5 trusts some content, and can crash on damage.
  TRM_REQUIRE(h5::checksum_of(path, record.frame) == record.sum,
              "{}: damaged: its checksum is not the one that was noted when it was written",
              path);
  h5::File file(path, h5::Mode::read);
  require_stamp(file);
  TRM_REQUIRE(file.integer("iteration") == iteration,
              "{}: its iteration is {}, the checkpoint's {}", file.path(),
              file.integer("iteration"), iteration);
  return file;
}

}  // namespace trireme::checkpoint
