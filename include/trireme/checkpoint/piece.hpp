// SPDX-License-Identifier: Apache-2.0
// Boxes of named global arrays: what ranks hold, and who writes what.
#pragma once

#include <string>
#include <vector>

#include "trireme/tensor/box.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// A box of a named array, and its elements: contiguous, of the box's extent, which has one to
/// four axes. Names are like paths: parts of printable characters without blanks or '@', joined
/// by '/'.
struct Piece {
  std::string name;
  Shape global;
  Box box;
  ConstView data;
};

/// What a rank holds. `replicas` ranks hold this box, and this rank is number `replica` among
/// them. Each of them lists the boxes with so many replicas in one order.
struct HeldPiece {
  Piece piece;
  int replica = 0;
  int replicas = 1;
};

/// What a piece takes in a copy of several, each of which begins at a cache line.
[[nodiscard]] std::size_t bytes_in_copy(const Piece& piece);

/// A range along the first axis of item number `item`.
struct Rows {
  std::size_t item = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
  friend bool operator==(const Rows&, const Rows&) = default;
};

/// One replica's part of items that all `replicas` hold. Together the parts are everything,
/// once. Parts are equal in bytes up to a row or 64 KiB, the least that is divided. Ranges come
/// in order, and none is empty. Items have at least one axis.
[[nodiscard]] std::vector<Rows> share(const std::vector<ConstView>& items, int replicas,
                                      int replica);

/// The rows of a piece, as a piece.
[[nodiscard]] Piece rows_of(const Piece& piece, const Rows& rows);

/// What this rank writes of what it holds, so that every element is written once.
[[nodiscard]] std::vector<Piece> writing_share(const std::vector<HeldPiece>& held);

/// Ranks of a node share `writers` writers, or have one each if they are fewer: consecutive
/// ranks, in groups as equal as can be. The group, from 0 on, of rank `rank` of the node's
/// `ranks`.
[[nodiscard]] std::int64_t writer_group(std::int64_t rank, std::int64_t ranks,
                                        std::int64_t writers);

}  // namespace trireme
