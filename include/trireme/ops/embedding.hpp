// SPDX-License-Identifier: Apache-2.0
// Looks up rows of a table by token id, and adds rows of a table by position.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// y[i] = table[ids[i] − first_row], or zeros if the id's row is another rank's. ids int32 [n],
/// table [rows, h], y [n, h].
void embedding_forward(const Exec& ex, const ConstView& ids, const ConstView& table,
                       std::int64_t first_row, const View& y);

/// dtable[ids[i] − first_row] += dy[i], in the order of i, which makes results reproducible to
/// the bit. dtable has dy's type or its accumulator_type.
void embedding_backward(const Exec& ex, const ConstView& ids, const ConstView& dy,
                        std::int64_t first_row, const View& dtable);

/// y[i] += table[(first_row + i) mod seq], for learned positions. first_row counts tokens of
/// whole sequences.
void positions_forward(const Exec& ex, const ConstView& table, std::int64_t seq,
                       std::int64_t first_row, const View& y);
void positions_backward(const Exec& ex, const ConstView& dy, std::int64_t seq,
                        std::int64_t first_row, const View& dtable);

}  // namespace trireme::ops
