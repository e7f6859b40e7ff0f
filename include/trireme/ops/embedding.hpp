// SPDX-License-Identifier: Apache-2.0
// Looks up rows of a table by token id, and adds rows of a table by position.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// y[i] = table[ids[i] − first_row], or zeros if the id's row is another rank's.
struct EmbeddingForward {
  ConstView ids;           ///< int32 [n]
  ConstView table;         ///< [rows, h]
  std::int64_t first_row;  ///< id of the table's first row
  View y;                  ///< [n, h]
};
void embedding_forward(const Exec& ex, const EmbeddingForward& op);

/// dtable[ids[i] − first_row] += dy[i], in the order of i, which makes results reproducible to
/// the bit.
struct EmbeddingBackward {
  ConstView ids;           ///< int32 [n]
  ConstView dy;            ///< [n, h]
  std::int64_t first_row;  ///< id of the table's first row
  View dtable;             ///< [rows, h], in dy's type or its accumulator_type
};
void embedding_backward(const Exec& ex, const EmbeddingBackward& op);

/// y[i] += table[(first_row + i) mod seq], for learned positions.
struct PositionsForward {
  ConstView table;         ///< [rows ≥ seq, h]
  std::int64_t seq;        ///< tokens of a sequence
  std::int64_t first_row;  ///< y's first row, counting tokens of whole sequences
  View y;                  ///< [n, h]
};
void positions_forward(const Exec& ex, const PositionsForward& op);

/// dtable[(first_row + i) mod seq] += dy[i].
struct PositionsBackward {
  ConstView dy;            ///< [n, h]
  std::int64_t seq;        ///< tokens of a sequence
  std::int64_t first_row;  ///< dy's first row, counting tokens of whole sequences
  View dtable;             ///< [rows ≥ seq, h], in dy's type or its accumulator_type
};
void positions_backward(const Exec& ex, const PositionsBackward& op);

}  // namespace trireme::ops
