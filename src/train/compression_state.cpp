// SPDX-License-Identifier: Apache-2.0
// What each rank of dp has for itself, as named boxes: one row of an array with a row for each
// rank. A server's errors belong to the elements that the server averages.
#include <vector>

#include "trireme/checkpoint/piece.hpp"
#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/core/convert.hpp"
#include "trireme/optim/compressed_mean.hpp"
#include "trireme/train/trainer.hpp"

#include "mean_of_rows.hpp"

namespace trireme {

namespace {

constexpr const char* kServer = "optimizer/server_error/";

std::string row_name(const char* kind, const Parameter& p) {
  return fmt::format("optimizer/{}/{}", kind, p.name);
}

/// The boxes of a chunk of `p`, in the global array, and where each begins in the chunk.
std::vector<std::pair<Box, std::int64_t>> boxes_of(const Parameter& p, const Chunk& chunk) {
  std::vector<std::pair<Box, std::int64_t>> boxes;
  std::int64_t at = 0;
  for (Box box : boxes_of_range(p.box.extent, chunk.first, chunk.count)) {
    for (int i = 0; i < box.offset.rank(); ++i) box.offset[i] += p.box.offset[i];
    boxes.emplace_back(box, at);
    at += box.count();
  }
  return boxes;
}

/// Reads a box as fp32.
std::vector<float> read_wide(WeightSource& source, const std::string& name, const Box& box) {
  const DType type = source.dtype(name);
  const auto count = static_cast<std::size_t>(box.count());
  std::vector<std::byte> stored(count * size_of(type));
  std::vector<float> wide(count);
  source.read(name, box, View(stored.data(), type, box.extent));
  widen(type, stored.data(), wide.data(), box.count());
  return wide;
}

void put(const Exec& ex, const std::vector<float>& from, const View& to) {
  TRM_CHECK(to.dtype() == DType::f32, "errors of type {}", name_of(to.dtype()));
  ex.device.copy_from_host(to.raw(), from.data(), to.bytes(), ex.stream);
  ex.stream.synchronize();
}

}  // namespace

std::vector<Piece> Trainer::rows_of(int dp) const {
  std::vector<Piece> pieces;
  const bool mine = dp == mesh_.at.dp;
  optimizer_.visit_rows([&](const char* kind, const Parameter& p, const View& own) {
    if (!stores_part_of(p)) return;
    const Box row = row_of(dp, p.box);
    pieces.push_back({row_name(kind, p), behind(mesh_.shape.dp, p.global_shape), row,
                      mine ? ConstView(own.reshape(row.extent))
                           : ConstView(nullptr, own.dtype(), row.extent)});
  });
  optimizer_.visit_server_errors([&](const Parameter& p, const View& server) {
    if (!stores_part_of(p)) return;
    for (const auto& [box, at] : boxes_of(p, chunk_of(p.box.count(), dp, mesh_.shape.dp))) {
      pieces.push_back(
          {kServer + p.name, p.global_shape, box,
           mine ? ConstView(flat_window(server, at, box.count()).reshape(box.extent))
                : ConstView(nullptr, server.dtype(), box.extent)});
    }
  });
  return pieces;
}

void Trainer::read_rows(WeightSource& source) const {
  optimizer_.visit_rows([&](const char* kind, const Parameter& p, const View& own) {
    const std::string name = row_name(kind, p);
    if (source.has(name)) read_row(source, name, p, own);
  });
  optimizer_.visit_server_errors([&](const Parameter& p, const View& server) {
    if (!source.has(kServer + p.name)) return;
    for (const auto& [box, at] :
         boxes_of(p, chunk_of(p.box.count(), mesh_.at.dp, mesh_.shape.dp))) {
      put(ex_, read_wide(source, kServer + p.name, box), flat_window(server, at, box.count()));
    }
  });
}

void Trainer::read_row(WeightSource& source, const std::string& name, const Parameter& p,
                       const View& to) const {
  const auto ranks = static_cast<int>(source.global_shape(name)[0]);
  if (ranks == mesh_.shape.dp) {
    return put(ex_, read_wide(source, name, row_of(mesh_.at.dp, p.box)), to);
  }
  // The mean over ranks is what training lacks, and all ranks take this mean.
  put(ex_, mean_of_rows(source, name, p.box), to);
}

}  // namespace trireme
