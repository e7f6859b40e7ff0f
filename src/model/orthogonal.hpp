// SPDX-License-Identifier: Apache-2.0
// Orthogonal and semi-orthogonal matrices, for initial weights.
#pragma once

#include <cstdint>
#include <span>

namespace trireme {

/// Replaces a row-major matrix by gain · Q. Q has orthonormal columns, or orthonormal rows if
/// there are fewer rows. Q comes from the QR factorisation, with each column times the sign of
/// R's diagonal. Q is then uniform if the matrix was normal (Mezzadri, arXiv math-ph/0609050).
/// Single-threaded, so that all ranks get the same bits.
void make_orthogonal(std::span<float> matrix, std::int64_t rows, std::int64_t cols,
                     double gain);

}  // namespace trireme
