// SPDX-License-Identifier: Apache-2.0
// How replicas share the writing of pieces that all of them hold.
#include "trireme/checkpoint/piece.hpp"

#include <algorithm>
#include <cstddef>
#include <map>

#include "trireme/core/round_up.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kSmallest = 64 << 10;  // bytes; a smaller item stays whole

std::int64_t bytes_of(const ConstView& item) { return static_cast<std::int64_t>(item.bytes()); }

std::int64_t bytes_of_row(const ConstView& item) { return bytes_of(item) / item.shape()[0]; }

/// Rows of an item that end before `byte`, which may lie outside of the item. The border moves
/// to the nearest row, or to the nearest end of an item that stays whole.
std::int64_t rows_before(const ConstView& item, std::int64_t byte) {
  const std::int64_t rows = item.shape()[0];
  if (byte <= 0) return 0;
  if (byte >= bytes_of(item)) return rows;
  if (bytes_of(item) < kSmallest) return 2 * byte < bytes_of(item) ? 0 : rows;
  const std::int64_t row = bytes_of_row(item);
  return (byte + row / 2) / row;
}

}  // namespace

const std::byte* elements_of(const Piece& piece, std::int64_t first, std::int64_t count,
                             std::byte* room) {
  if (!piece.stored) {
    return static_cast<const std::byte*>(piece.data.raw()) +
           static_cast<std::size_t>(first) * size_of(piece.data.dtype());
  }
  piece.stored->read(piece.first + first, count, room);
  return room;
}

std::size_t bytes_in_copy(std::size_t piece_bytes) {
  constexpr std::size_t kAlignment = 64;
  return round_up(piece_bytes, kAlignment);
}

void visit_shares(const std::vector<ConstView>& items, int replicas,
                  const std::function<void(int replica, const Rows&)>& f) {
  std::int64_t total = 0;
  for (const ConstView& item : items) total += bytes_of(item);
  const auto share_start = [&](int k) {  // k·total/replicas, without overflow
    return total / replicas * k + total % replicas * k / replicas;
  };
  std::int64_t start = 0;
  int from = 0;  // the first replica whose share ends behind `start`
  for (std::size_t i = 0; i < items.size(); ++i) {
    TRM_CHECK(items[i].shape().rank() > 0, "item {} has no axis to be shared along", i);
    if (items[i].count() == 0) continue;
    while (from + 1 < replicas && share_start(from + 1) <= start) ++from;
    const std::int64_t end = start + bytes_of(items[i]);
    for (int k = from; k < replicas && share_start(k) < end; ++k) {
      const std::int64_t first = rows_before(items[i], share_start(k) - start);
      const std::int64_t behind = rows_before(items[i], share_start(k + 1) - start);
      if (first < behind) f(k, {i, first, behind - first});
    }
    start = end;
  }
}

std::vector<Rows> share(const std::vector<ConstView>& items, int replicas, int replica) {
  TRM_CHECK(replica >= 0 && replica < replicas, "replica {} of {}", replica, replicas);
  std::vector<Rows> mine;
  visit_shares(items, replicas, [&](int k, const Rows& rows) {
    if (k == replica) mine.push_back(rows);
  });
  return mine;
}

Piece rows_of(const Piece& piece, const Rows& rows) {
  TRM_CHECK(rows.first >= 0 && rows.count > 0 &&
                rows.first + rows.count <= piece.box.extent[0] &&
                piece.data.shape() == piece.box.extent && piece.data.contiguous(),
            "{}: rows from {}, {} of them, of a box {} held as {}", piece.name, rows.first,
            rows.count, piece.box.extent.str(), piece.data.shape().str());
  Piece part = piece;
  part.box.offset[0] += rows.first;
  part.box.extent[0] = rows.count;
  const auto* begin = static_cast<const std::byte*>(piece.data.raw());
  if (piece.stored) {
    part.first += rows.first * (piece.data.count() / piece.data.shape()[0]);
  } else {
    begin += rows.first * bytes_of_row(piece.data);
  }
  part.data = ConstView(begin, piece.data.dtype(), part.box.extent);
  return part;
}

std::vector<Piece> writing_share(const std::vector<HeldPiece>& held) {
  std::map<int, std::vector<std::size_t>> groups;  // from `replicas` to indices of `held`
  for (std::size_t i = 0; i < held.size(); ++i) {
    auto& group = groups[held[i].replicas];
    group.push_back(i);
    TRM_CHECK(held[i].replica == held[group.front()].replica,
              "{} is replica {} of {}, but {} is number {} of as many", held[i].piece.name,
              held[i].replica, held[i].replicas, held[group.front()].piece.name,
              held[group.front()].replica);
  }
  std::vector<Rows> mine;  // items are indices of `held`
  for (const auto& [replicas, group] : groups) {
    std::vector<ConstView> items;
    for (const std::size_t i : group) items.push_back(held[i].piece.data);
    for (const Rows& rows : share(items, replicas, held[group.front()].replica)) {
      mine.push_back({group[rows.item], rows.first, rows.count});
    }
  }
  std::sort(mine.begin(), mine.end(),
            [](const Rows& a, const Rows& b) { return a.item < b.item; });
  std::vector<Piece> pieces;
  pieces.reserve(mine.size());
  for (const Rows& rows : mine) pieces.push_back(rows_of(held[rows.item].piece, rows));
  return pieces;
}

std::int64_t writer_group(std::int64_t rank, std::int64_t ranks, std::int64_t writers) {
  return rank * std::min(writers, ranks) / ranks;
}

}  // namespace trireme
