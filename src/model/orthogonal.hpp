// SPDX-License-Identifier: Apache-2.0
// Orthogonal and semi-orthogonal matrices, for initial weights.
#pragma once

#include <cstdint>
#include <span>

namespace trireme {

/// Replaces a row-major matrix by gain · Q, Q with orthonormal columns (rows, if there are
/// fewer of them): Q of the QR factorisation, each column by the sign of R's diagonal, which
/// makes Q uniform if the matrix was normal (Mezzadri, arXiv math-ph/0609050). Single-threaded,
/// so that all ranks get the same bits.
void make_orthogonal(std::span<float> matrix, std::int64_t rows, std::int64_t cols,
                     double gain);

}  // namespace trireme
