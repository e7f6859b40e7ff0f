// SPDX-License-Identifier: Apache-2.0
// Which tensors a checkpoint holds and where their pieces are: its forms between ranks (text)
// and on disk (HDF5), and the proof that pieces tile their tensor.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "trireme/h5/file.hpp"
#include "trireme/tensor/box.hpp"

namespace trireme::checkpoint {

struct Piece {
  std::int64_t shard = 0;
  Box box;
};

struct Entry {
  DType dtype = DType::f32;
  Shape global;
  std::vector<Piece> pieces;
};

using Manifest = std::map<std::string, Entry>;

/// Throws Error for a name that would not be one path in an HDF5 file and one word in a line.
void require_name(const std::string& name);

/// What is wrong with `parts` as a tiling of `region`; empty if each element is in exactly one.
/// They must lie inside of it and have elements.
[[nodiscard]] std::string tiling_error(const Box& region, std::vector<Box> parts);

/// The dataset of a piece in its shard: "NAME@0,128".
[[nodiscard]] std::string dataset_name(const std::string& name, const Box& box);

/// One piece as a line of text.
[[nodiscard]] std::string line_of(const std::string& name, DType dtype, const Shape& global,
                                  const Box& box);
/// Adds the lines of the rank that wrote `shard`. Throws Error where ranks disagree about a
/// tensor.
void add_lines(Manifest& manifest, const std::string& lines, std::int64_t shard);
/// Throws Error if the pieces of a tensor overlap or leave a gap.
void require_tilings(const Manifest& manifest);

void save_manifest(h5::File& file, const Manifest& manifest);
/// All names in the file, sorted.
[[nodiscard]] std::vector<std::string> manifest_names(const h5::File& file);
[[nodiscard]] bool in_manifest(const h5::File& file, const std::string& name);
/// Checked: boxes inside of the global shape, counts that the file can hold.
[[nodiscard]] Entry load_entry(const h5::File& file, const std::string& name);

}  // namespace trireme::checkpoint
