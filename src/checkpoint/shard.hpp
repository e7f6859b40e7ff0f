// SPDX-License-Identifier: Apache-2.0
// The two kinds of file of a checkpoint share a stamp; here it is, and the shards:
// shard-RRRRR.h5 holds the pieces that writer R stored.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "trireme/checkpoint/piece.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/h5/file.hpp"

namespace trireme::checkpoint {

inline constexpr std::int64_t kFormatVersion = 2;

/// "shard-00007.h5".
[[nodiscard]] std::string shard_file(std::int64_t number);
/// What a file is and belongs to.
void stamp(h5::File& file, std::int64_t iteration);
/// Throws Error for a file of another kind or format version.
void require_stamp(const h5::File& file);

/// Writes all pieces to a new file in `folder` and waits until it is on disk. Throws Error,
/// also soon after `cancelled` becomes true; the space is given back then.
[[nodiscard]] CheckpointReader::Shard write_shard(const std::string& folder,
                                                  std::int64_t number, std::int64_t iteration,
                                                  const std::vector<Piece>& pieces,
                                                  const std::atomic<bool>& cancelled);

/// Opens a shard after it was seen that its size and all bytes outside of tensors are those of
/// the record. Throws Error.
[[nodiscard]] h5::File open_shard(const std::string& folder,
                                  const CheckpointReader::Shard& record,
                                  std::int64_t iteration);

}  // namespace trireme::checkpoint
