// SPDX-License-Identifier: Apache-2.0
// checkpoint.h5: a run's state, and all shards as whole arrays. The file holds
// RunState as attributes, with the seed's bits as int64, and a virtual dataset NAME for each
// array. Group optimizer/master is a link to model where the values are the masters themselves.
// Dataset storage/shards is int64 [shards, 3]: each row has a shard's number, bytes, and
// checksum of its frame. A frame is all bytes that are no tensor's. Dataset storage/frames is
// int64 [ranges, 3]: number, offset, bytes. The file's first 512 bytes are text: the format's
// version, and the checksum of all that follows.
#pragma once

#include <string>
#include <vector>

#include "trireme/checkpoint/reader.hpp"
#include "trireme/checkpoint/state.hpp"
#include "trireme/h5/file.hpp"

#include "manifest.hpp"

namespace trireme::checkpoint {

/// Writes FOLDER/checkpoint.h5 and waits until it is on disk.
void write_index(const std::string& folder, const RunState& state, const Manifest& manifest,
                 const std::vector<CheckpointReader::Shard>& shards);

/// Opens it, after its sum was seen to be right. Throws Error.
[[nodiscard]] h5::File open_index(const std::string& folder);

[[nodiscard]] RunState load_state(const h5::File& file);
[[nodiscard]] std::vector<CheckpointReader::Shard> load_shards(const h5::File& file);

/// All tensors' names, sorted.
[[nodiscard]] std::vector<std::string> tensor_names(const h5::File& file);
[[nodiscard]] bool has_tensor(const h5::File& file, const std::string& name);
/// Where a piece of a tensor is.
struct Location {
  std::int64_t shard = 0;
  std::string dataset;
  Box box;
};
struct StoredTensor {
  DType dtype = DType::f32;
  Shape global;
  std::vector<Location> pieces;
};
/// Checked: boxes inside of the global shape, shards by their own names.
[[nodiscard]] StoredTensor load_tensor(const h5::File& file, const std::string& name);

}  // namespace trireme::checkpoint
