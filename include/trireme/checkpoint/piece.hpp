// SPDX-License-Identifier: Apache-2.0
// Boxes of named global arrays: what ranks hold, and who writes what.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "trireme/tensor/box.hpp"
#include "trireme/tensor/stored_array.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// A box of a named array, and its elements: contiguous, of the box's extent, which has one to
/// four axes. Names are like paths: words of printable characters without blanks or '@', joined
/// by '/'.
struct Piece {
  std::string name;
  Shape global;
  Box box;
  ConstView data;  ///< without memory if the elements are in a file
  /// Where the elements are if not in memory: from number `first` on.
  std::shared_ptr<StoredArray> stored = nullptr;
  std::int64_t first = 0;
};

/// Elements [first, first + count) of a piece, in host memory: the piece's own, or a copy in
/// `room`, which must have space.
[[nodiscard]] const std::byte* elements_of(const Piece& piece, std::int64_t first,
                                           std::int64_t count, std::byte* room);

/// A piece that a rank holds. `replicas` ranks hold this box, and this rank is number `replica`
/// among them. Each of these ranks lists boxes of equal `replicas` in one order.
struct HeldPiece {
  Piece piece;
  int replica = 0;
  int replicas = 1;
};

/// Bytes of a piece in a copy of several pieces, where each begins at a cache line.
[[nodiscard]] std::size_t bytes_in_copy(std::size_t piece_bytes);

/// A range along the first axis of item number `item`.
struct Rows {
  std::size_t item = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
  friend bool operator==(const Rows&, const Rows&) = default;
};

/// The share of one replica in items that all `replicas` hold. Together the shares are
/// everything, once. Shares are equal in bytes up to a row or 64 KiB; a smaller item is never
/// divided. Ranges come in order, and none is empty. Items have at least one axis.
[[nodiscard]] std::vector<Rows> share(const std::vector<ConstView>& items, int replicas,
                                      int replica);

/// Calls f(replica, rows) for each range of every replica's share, items in order. Takes time
/// for each range and replica once, so that a forecast of many replicas is fast.
void visit_shares(const std::vector<ConstView>& items, int replicas,
                  const std::function<void(int replica, const Rows&)>& f);

/// The rows of a piece, as a piece.
[[nodiscard]] Piece rows_of(const Piece& piece, const Rows& rows);

/// The pieces that this rank writes, so that all ranks together write every element once.
[[nodiscard]] std::vector<Piece> writing_share(const std::vector<HeldPiece>& held);

/// The number, from 0 on, of the writer of rank `rank` among the `ranks` ranks of a node. The
/// node has `writers` writers, or a writer for each rank if `ranks` is less. Consecutive ranks
/// share a writer, as evenly as possible.
[[nodiscard]] std::int64_t writer_group(std::int64_t rank, std::int64_t ranks,
                                        std::int64_t writers);

}  // namespace trireme
