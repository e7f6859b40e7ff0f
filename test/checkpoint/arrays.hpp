// SPDX-License-Identifier: Apache-2.0
// Global arrays of known content, cut in various ways, and a folder that all ranks share.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "trireme/checkpoint/store.hpp"
#include "trireme/comm/mpi.hpp"

#include "../temporary_folder.hpp"

namespace trireme::test {

inline Communicator& world() {
  static const auto comm = world_communicator();
  return *comm;
}
inline int ranks() { return world().size(); }
inline int me() { return world().rank(); }

/// Made by rank 0, known to all, removed when all are done.
class SharedFolder {
 public:
  SharedFolder() {
    if (me() == 0) mine_ = std::make_unique<TemporaryFolder>();
    path_ = world().broadcast_text(me() == 0 ? *mine_ / "" : "", 0);
  }
  ~SharedFolder() { world().barrier(); }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + name; }

 private:
  std::unique_ptr<TemporaryFolder> mine_;
  std::string path_;
};

/// Rank 0 does it, nobody goes on before.
template <class F>
void once(F f) {
  world().barrier();
  if (me() == 0) f();
  world().barrier();
}

inline RunState some_state(std::int64_t iteration) {
  return {.iteration = iteration,
          .samples_consumed = (1LL << 40) + 1,
          .optimizer_steps = iteration + 3,
          .seed = 0xfedcba9876543210U,
          .deck = "num_layers: 6\nsave: \"größe\"\n" + std::string(100'000, '#'),
          .version = "0.1.0",
          .mesh = "dp 2 × tp 1 × pp 1"};
}

enum class Cut { whole, first_axis, last_axis, random };

struct Share {
  int rank = 0;
  Box box;
};

inline void split_at_random(const Box& box, int depth, std::mt19937& draw,
                            std::vector<Share>& out) {
  const int rank = box.extent.rank();
  const int axis = rank == 0 ? 0 : static_cast<int>(draw() % static_cast<unsigned>(rank));
  if (depth == 0 || rank == 0 || box.extent[axis] < 2) {
    out.push_back({static_cast<int>(draw() % static_cast<unsigned>(ranks())), box});
    return;
  }
  Box low = box;
  Box high = box;
  low.extent[axis] = 1 + draw() % (box.extent[axis] - 1);
  high.offset[axis] += low.extent[axis];
  high.extent[axis] -= low.extent[axis];
  split_at_random(low, depth - 1, draw, out);
  split_at_random(high, depth - 1, draw, out);
}

/// A tiling of `global`, the same on every rank. Ranks may have none, one or many boxes.
inline std::vector<Share> shares(const Shape& global, Cut cut, unsigned seed = 1) {
  std::vector<Share> out;
  const Box whole = Box::whole(global);
  std::mt19937 draw(seed);
  if (cut == Cut::random) {
    split_at_random(whole, 4, draw, out);
  } else if (cut == Cut::whole || global.rank() == 0) {
    out.push_back({ranks() - 1, whole});
  } else {
    const int axis = cut == Cut::first_axis ? 0 : global.rank() - 1;
    const std::int64_t each = (global[axis] + ranks() - 1) / ranks();  // the last may have none
    for (int r = 0; r < ranks(); ++r) {
      Box box = whole;
      box.offset[axis] = std::min(global[axis], r * each);
      box.extent[axis] = std::min(each, global[axis] - box.offset[axis]);
      out.push_back({r, box});
    }
  }
  return out;
}

/// The element of an array at a flat index: different everywhere and for each salt.
template <class T>
T element(std::int64_t flat, unsigned salt) {
  const auto bits = static_cast<std::uint64_t>(flat + 1) * 0x9e3779b97f4a7c15U + salt;
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}

/// The content of a box, in row-major order.
template <class T>
std::vector<T> content(const Shape& global, const Box& box, unsigned salt) {
  std::vector<T> out(static_cast<std::size_t>(box.count()));
  for (std::int64_t i = 0; i < box.count(); ++i) {
    std::int64_t rest = i;
    std::int64_t flat = 0;
    std::int64_t stride = 1;
    for (int axis = global.rank() - 1; axis >= 0; --axis) {
      flat += (box.offset[axis] + rest % box.extent[axis]) * stride;
      rest /= box.extent[axis];
      stride *= global[axis];
    }
    out[static_cast<std::size_t>(i)] = element<T>(flat, salt);
  }
  return out;
}

template <class T>
void write_array(CheckpointWriter& writer, const std::string& name, const Shape& global,
                 const std::vector<Share>& tiling, unsigned salt = 0) {
  for (const Share& s : tiling) {
    if (s.rank != me()) continue;
    const auto data = content<T>(global, s.box, salt);
    writer.write(name, global, s.box, ConstView(data.data(), kDTypeOf<T>, s.box.extent));
  }
}

template <class T>
bool holds(CheckpointReader& reader, const std::string& name, const Shape& global,
           const Box& box, unsigned salt = 0) {
  const auto expected = content<T>(global, box, salt);
  std::vector<T> data(expected.size() + 1);  // so that there is an address even for none
  reader.read(name, global, box, View(data.data(), kDTypeOf<T>, box.extent));
  return std::memcmp(data.data(), expected.data(), expected.size() * sizeof(T)) == 0;
}

}  // namespace trireme::test
