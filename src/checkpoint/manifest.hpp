// SPDX-License-Identifier: Apache-2.0
// The manifest: which tensors a checkpoint holds and where their pieces are. Ranks send their
// lines as text. Here is also the proof that pieces tile their tensor.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "trireme/core/dtype.hpp"
#include "trireme/tensor/box.hpp"

namespace trireme::checkpoint {

struct Place {
  std::int64_t shard = 0;
  Box box;
};

struct Entry {
  DType dtype = DType::f32;
  Shape global;
  std::vector<Place> places;
};

using Manifest = std::map<std::string, Entry>;

/// Throws Error for a name that is not one path in an HDF5 file and one word in a line.
void require_name(const std::string& name);

/// What is wrong with `parts` as a tiling of `region`; empty if exactly one box holds each
/// element. The boxes must lie inside of `region` and have elements.
[[nodiscard]] std::string tiling_error(const Box& region, std::vector<Box> parts);

/// A piece as a line of text, and back.
struct Line {
  std::string name;
  DType dtype = DType::f32;
  Shape global;
  Box box;
};
[[nodiscard]] std::string text_of(const Line& line);
[[nodiscard]] std::vector<Line> lines_of(const std::string& text);

/// Adds the pieces of `shard`. Throws Error where ranks disagree about a tensor.
void add(Manifest& manifest, const std::vector<Line>& lines, std::int64_t shard);
/// Throws Error if the pieces of a tensor overlap or leave a gap, or a tensor's name is part of
/// the path of another's.
void require_tilings(const Manifest& manifest);

}  // namespace trireme::checkpoint
