// SPDX-License-Identifier: Apache-2.0
// Global arrays of known content, sharded over ranks in various ways. Equal on all ranks.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "trireme/checkpoint/piece.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/checkpoint/state.hpp"

namespace trireme::test {

/// Arrays of equal salt and shape have equal content.
struct Array {
  std::string name;
  DType dtype = DType::f32;
  Shape global;
  unsigned salt = 0;
};

using Bytes = std::vector<std::byte>;

inline RunState some_state(std::int64_t iteration) {
  return {.iteration = iteration,
          .samples_consumed = (1LL << 40) + 1,
          .optimizer_steps = iteration + 3,
          .seed = 0xfedcba9876543210U,
          .loss_scale = 65536.0 / 3,
          .clean_steps = 999,
          .hysteresis = 2,
          .deck = "num_layers: 6\nsave: \"größe\"\n" + std::string(100'000, '#'),
          .tokenizer_kind = "hugging-face",
          .tokenizer_definition = "{\"größe\": 1}" + std::string(100'000, ' '),
          .version = "0.1.0",
          .mesh = "dp 2 × tp 1 × pp 1"};
}

/// The content of a box, in row-major order: arbitrary bits that depend on place and salt.
inline Bytes content(const Array& array, const Box& box) {
  const Shape& global = array.global;
  const std::size_t size = size_of(array.dtype);
  Bytes out(static_cast<std::size_t>(box.count()) * size);
  for (std::int64_t i = 0; i < box.count(); ++i) {
    std::int64_t rest = i;
    std::int64_t flat = 0;
    std::int64_t stride = 1;
    for (int axis = global.rank() - 1; axis >= 0; --axis) {
      flat += (box.offset[axis] + rest % box.extent[axis]) * stride;
      rest /= box.extent[axis];
      stride *= global[axis];
    }
    std::uint64_t bits = static_cast<std::uint64_t>(flat + 1) * 0x9e3779b97f4a7c15U;
    bits = (bits ^ (bits >> 29U) ^ array.salt) * 0xbf58476d1ce4e5b9U;
    std::memcpy(&out[static_cast<std::size_t>(i) * size], &bits, size);
  }
  return out;
}

/// A box of array number `array`, which a rank holds.
struct Part {
  int rank = 0;
  std::size_t array = 0;
  Box box;
  int replica = 0;
  int replicas = 1;
};

class Memory {
 public:
  /// The boxes that `rank` holds, with their content.
  Memory(const std::vector<Array>& arrays, const std::vector<Part>& parts, int rank) {
    for (const Part& p : parts) {
      if (p.rank != rank) continue;
      const Array& a = arrays[p.array];
      data_.push_back(content(a, p.box));
      const ConstView view(data_.back().data(), a.dtype, p.box.extent);
      held_.push_back({{a.name, a.global, p.box, view}, p.replica, p.replicas});
    }
  }
  [[nodiscard]] const std::vector<HeldPiece>& held() const { return held_; }
  void spoil() {
    for (Bytes& b : data_) std::fill(b.begin(), b.end(), std::byte{0x55});
  }
  /// Gives the same boxes the content of other arrays.
  void become(const std::vector<Array>& arrays, const std::vector<Part>& parts, int rank) {
    std::size_t at = 0;
    for (const Part& p : parts) {
      if (p.rank != rank) continue;
      const Bytes now = content(arrays[p.array], p.box);
      std::copy(now.begin(), now.end(), data_[at++].begin());
    }
  }

 private:
  std::vector<Bytes> data_;
  std::vector<HeldPiece> held_;
};

/// Whether a box is read as it was written.
inline bool holds(CheckpointReader& reader, const Array& array, const Box& box) {
  const Bytes expected = content(array, box);
  Bytes data(expected.size() + 1);  // so that an empty box has an address, too
  reader.read(array.name, array.global, box, View(data.data(), array.dtype, box.extent));
  return std::equal(expected.begin(), expected.end(), data.begin());
}
inline bool holds(CheckpointReader& reader, const Array& array) {
  return holds(reader, array, Box::whole(array.global));
}

enum class Cut { whole, first_axis, last_axis, random, replicas };

inline void split_at_random(const Box& box, int depth, std::mt19937& draw,
                            std::vector<Box>& out) {
  const int axis = static_cast<int>(draw() % static_cast<unsigned>(box.extent.rank()));
  if (depth == 0 || box.extent[axis] < 2) {
    out.push_back(box);
    return;
  }
  Box low = box;
  Box high = box;
  low.extent[axis] = 1 + static_cast<std::int64_t>(draw()) % (box.extent[axis] - 1);
  high.offset[axis] += low.extent[axis];
  high.extent[axis] -= low.extent[axis];
  split_at_random(low, depth - 1, draw, out);
  split_at_random(high, depth - 1, draw, out);
}

/// Number `part` of `parts` nearly equal slices of a box along an axis; without elements if the
/// axis is too short.
inline Box slice(const Box& box, int axis, int part, int parts) {
  Box out = box;
  const std::int64_t begin = box.extent[axis] * part / parts;
  out.offset[axis] += begin;
  out.extent[axis] = box.extent[axis] * (part + 1) / parts - begin;
  return out;
}

/// All arrays, sharded alike over `ranks` ranks, of which some may get nothing.
inline std::vector<Part> parts_of(const std::vector<Array>& arrays, Cut cut, int ranks,
                                  unsigned seed = 1) {
  std::vector<Part> out;
  std::mt19937 draw(seed);
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const Box whole = Box::whole(arrays[i].global);
    if (cut == Cut::whole) {
      out.push_back({ranks - 1, i, whole});
    } else if (cut == Cut::random) {
      std::vector<Box> boxes;
      split_at_random(whole, 4, draw, boxes);
      for (const Box& b : boxes) {
        out.push_back({static_cast<int>(draw() % static_cast<unsigned>(ranks)), i, b});
      }
    } else {
      const int axis = cut == Cut::first_axis ? 0 : whole.extent.rank() - 1;
      for (int r = 0; r < ranks; ++r) {
        if (cut == Cut::replicas) {
          out.push_back({r, i, whole, r, ranks});
        } else if (const Box box = slice(whole, axis, r, ranks); box.count() > 0) {
          out.push_back({r, i, box});
        }
      }
    }
  }
  return out;
}

}  // namespace trireme::test
