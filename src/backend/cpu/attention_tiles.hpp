// SPDX-License-Identifier: Apache-2.0
// What attention's forward and backward share: windows on the fused array, masks and dropout.
#pragma once

#include "trireme/ops/types.hpp"

#include "parallel.hpp"

namespace trireme::cpu {

inline constexpr std::int64_t kQueryTile = 64;
inline constexpr std::int64_t kKeyTile = 64;

/// The tokens of one sequence, seen as [seq, head_dim] matrices inside the fused array.
template <class T, class Pointer, class Map>
struct HeadWindows {
  Pointer base;  ///< first token of the sequence
  std::int64_t stride;
  const AttentionShape& shape;

  [[nodiscard]] Map rows(std::int64_t column, std::int64_t first, std::int64_t n) const {
    return {base + first * stride + column, n, shape.head_dim, Eigen::OuterStride<>(stride)};
  }
  [[nodiscard]] Map query(std::int64_t group, std::int64_t head, std::int64_t first,
                          std::int64_t n) const {
    return rows(group * shape.group_width() + head * shape.head_dim, first, n);
  }
  [[nodiscard]] Map key(std::int64_t group, std::int64_t first, std::int64_t n) const {
    return query(group, shape.queries_per_kv, first, n);
  }
  [[nodiscard]] Map value(std::int64_t group, std::int64_t first, std::int64_t n) const {
    return query(group, shape.queries_per_kv + 1, first, n);
  }
};

template <class T>
HeadWindows<T, const T*, ConstMatrixMap<T>> windows(const ConstView& qkv,
                                                    const AttentionShape& shape,
                                                    std::int64_t sequence) {
  return {row_data<T>(qkv, sequence * shape.seq), qkv.row_stride(), shape};
}
template <class T>
HeadWindows<T, T*, MatrixMap<T>> windows(const View& qkv, const AttentionShape& shape,
                                         std::int64_t sequence) {
  return {row_data<T>(qkv, sequence * shape.seq), qkv.row_stride(), shape};
}

/// [seq, head_dim] of one head in an array of plain heads.
template <class T, class V>
auto head_rows(const V& x, const AttentionShape& shape, std::int64_t sequence,
               std::int64_t head, std::int64_t first, std::int64_t n) {
  using Map = std::conditional_t<std::is_same_v<V, View>, MatrixMap<T>, ConstMatrixMap<T>>;
  return Map(row_data<T>(x, sequence * shape.seq + first) + head * shape.head_dim, n,
             shape.head_dim, Eigen::OuterStride<>(x.row_stride()));
}

/// Where a tile of scores stands: sequence, query head, first query, first key.
struct TilePlace {
  std::int64_t sequence;
  std::int64_t head;
  std::int64_t query;
  std::int64_t key;
};

/// Scores of keys after their query are −inf.
template <class T>
void apply_causal_mask(Matrix<T>& scores, const TilePlace& at) {
  for (std::int64_t i = 0; i < scores.rows(); ++i) {
    const std::int64_t visible = at.query + i - at.key + 1;
    for (std::int64_t j = std::max<std::int64_t>(0, visible); j < scores.cols(); ++j) {
      scores(i, j) = -std::numeric_limits<T>::infinity();
    }
  }
}

/// Multiplies a tile by its dropout mask / (1 − p). The fate of (sample, head, query, key) is
/// word key mod 4 of philox(key, query's global row, head · ⌈seq/4⌉ + key / 4).
template <class T>
void apply_dropout(Matrix<T>& tile, const AttentionShape& shape, const Dropout& spec,
                   const TilePlace& at) {
  const auto threshold = static_cast<std::uint32_t>(spec.probability * 0x1p32);
  const T keep = static_cast<T>(1 / (1 - spec.probability));
  const std::int64_t quads = (shape.seq + 3) / 4;
  for (std::int64_t i = 0; i < tile.rows(); ++i) {
    const auto where =
        spec.first_row + static_cast<std::uint64_t>(at.sequence * shape.seq + at.query + i);
    for (std::int64_t j = 0; j < tile.cols();
         j += 4) {  // tiles of keys start at multiples of 4
      const auto words = philox(
          spec.key, where,
          static_cast<std::uint32_t>((shape.first_head + at.head) * quads + (at.key + j) / 4));
      const std::int64_t n = std::min<std::int64_t>(4, tile.cols() - j);
      for (std::int64_t k = 0; k < n; ++k) {
        tile(i, j + k) *= words[static_cast<std::size_t>(k)] >= threshold ? keep : T{0};
      }
    }
  }
}

}  // namespace trireme::cpu
