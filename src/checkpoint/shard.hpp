// SPDX-License-Identifier: Apache-2.0
// Shards: shard-RRRRR.h5 holds the pieces that writer R stored. Also the stamp, which shards
// and checkpoint.h5 share.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "trireme/checkpoint/piece.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/h5/file.hpp"

namespace trireme::checkpoint {

/// Version 3: the resolved deck gives a gated MLP's `intermediate_size` as GPT-NeoX does since
/// 2024. Version 2 differs in this alone, and is read as before.
inline constexpr std::int64_t kFormatVersion = RunState::kFormat;
inline constexpr std::int64_t kOldestVersion = 2;

/// "shard-00007.h5".
[[nodiscard]] std::string shard_file(std::int64_t number);
/// Marks a file as a checkpoint's, of this format version and iteration.
void stamp(h5::File& file, std::int64_t iteration);
/// Throws Error for a file of another kind, or of a format version that this program cannot
/// read.
void require_stamp(const h5::File& file);

/// Writes all pieces to a new file in `folder` and waits until the file is on disk. Throws
/// Error, and does so soon after `cancelled` becomes true. An Error frees the file's space.
[[nodiscard]] CheckpointReader::Shard write_shard(const std::string& folder,
                                                  std::int64_t number, std::int64_t iteration,
                                                  const std::vector<Piece>& pieces,
                                                  const std::atomic<bool>& cancelled);

/// Opens a shard. First checks the size, and all bytes outside of tensors, against `record`.
/// Throws Error.
[[nodiscard]] h5::File open_shard(const std::string& folder,
                                  const CheckpointReader::Shard& record,
                                  std::int64_t iteration);

}  // namespace trireme::checkpoint
