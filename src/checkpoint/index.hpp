// SPDX-License-Identifier: Apache-2.0
// checkpoint.h5: a run's state, and every array whole, as a view on the shards. The file holds
// RunState as attributes, with the seed's bits as int64, and a virtual dataset NAME for each
// array. HDF5 group optimizer/master is a link to model where the values are the masters.
// Dataset storage/shards is int64 [shards, 3]: each row has a shard's number, bytes, and
// checksum of its frame. The frame is all bytes outside of tensors. Dataset storage/frames is
// int64 [ranges, 3]: number, offset, bytes. Dataset
// storage/tokenizer is the tokenizer's definition as bytes, and its attribute `kind` the kind.
// The file's first 512 bytes are text: the format's
// version, and the checksum of all other bytes.
#pragma once

#include <string>
#include <vector>

#include "trireme/checkpoint/reader.hpp"
#include "trireme/checkpoint/state.hpp"
#include "trireme/h5/file.hpp"

#include "manifest.hpp"

namespace trireme::checkpoint {

/// Writes FOLDER/checkpoint.h5 and waits until the file is on disk.
void write_index(const std::string& folder, const RunState& state, const Manifest& manifest,
                 const std::vector<CheckpointReader::Shard>& shards);

/// Opens FOLDER/checkpoint.h5 after a check of its checksum. Throws Error.
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
/// Throws Error unless every box is inside the global shape and every shard has its own name.
[[nodiscard]] StoredTensor load_tensor(const h5::File& file, const std::string& name);

}  // namespace trireme::checkpoint
