// SPDX-License-Identifier: Apache-2.0
// Parts that attention's forward and backward share: columns of the fused array, masks,
// dropout.
#pragma once

#include "trireme/ops/alibi.hpp"
#include "trireme/ops/types.hpp"

#include "philox_lanes.hpp"
#include "windows.hpp"

namespace trireme::cpu {

inline constexpr std::int64_t kQueryTile = 64;
inline constexpr std::int64_t kKeyTile = 64;

/// First columns of a query head, of the key and of the value of a kv head in the fused array.
inline std::int64_t query_column(const AttentionShape& a, std::int64_t group,
                                 std::int64_t head) {
  return group * a.group_width() + head * a.head_dim;
}
inline std::int64_t key_column(const AttentionShape& a, std::int64_t group) {
  return query_column(a, group, a.queries_per_kv);
}
inline std::int64_t value_column(const AttentionShape& a, std::int64_t group) {
  return query_column(a, group, a.queries_per_kv + 1);
}

/// Position of a tile of scores: sequence, query head, first query, first key.
struct TilePlace {
  std::int64_t sequence;
  std::int64_t head;
  std::int64_t query;
  std::int64_t key;
};

/// The keys that each query of a sequence attends to: [first, end). Neither decreases from one
/// query to the next.
class KeyRanges {
 public:
  /// `op` is an operation of attention's forward or backward.
  template <class Operation>
  explicit KeyRanges(const Operation& op)
      : firsts_(op.first_keys.empty() ? nullptr : op.first_keys.template data<std::int32_t>()),
        ends_(op.end_keys.empty() ? nullptr : op.end_keys.template data<std::int32_t>()),
        seq_(op.shape.seq),
        window_(op.scores.window),
        causal_(op.scores.causal) {}
  [[nodiscard]] std::int64_t first(std::int64_t sequence, std::int64_t query) const {
    const std::int64_t of_document = firsts_ == nullptr ? 0 : firsts_[sequence * seq_ + query];
    return window_ == 0 ? of_document : std::max(of_document, query - window_ + 1);
  }
  [[nodiscard]] std::int64_t end(std::int64_t sequence, std::int64_t query) const {
    const std::int64_t of_document = ends_ == nullptr ? seq_ : ends_[sequence * seq_ + query];
    return causal_ ? std::min(of_document, query + 1) : of_document;
  }
  /// Where the tiles of keys begin that queries from `query` on attend to, whose keys have the
  /// end `end`. Queries without any key begin at the end.
  [[nodiscard]] std::int64_t first_tile(std::int64_t sequence, std::int64_t query,
                                        std::int64_t end) const {
    const std::int64_t key = first(sequence, query);
    return key < end ? key / kKeyTile * kKeyTile : end;
  }

 private:
  const std::int32_t* firsts_;
  const std::int32_t* ends_;
  std::int64_t seq_;
  std::int64_t window_;
  bool causal_;
};

/// How products of a query head and its keys become scores.
template <class T>
class Scores {
 public:
  Scores(const ScoreRule& rule, const AttentionShape& shape)
      : shape_(shape),
        scale_(static_cast<T>(
            rule.scale > 0 ? rule.scale : 1 / std::sqrt(static_cast<double>(shape.head_dim)))),
        cap_(static_cast<T>(rule.softcap)),
        alibi_heads_(rule.alibi_heads) {}

  [[nodiscard]] T scale() const { return scale_; }
  [[nodiscard]] bool capped() const { return cap_ > T{0}; }

  /// Turns products times scale() into scores; `products` has a row for each query. With a cap,
  /// `slope` (if given) receives the cap's derivative.
  template <class Products>
  void finish(Products& products, const TilePlace& at, Matrix<T>* slope = nullptr) const {
    if (capped()) {
      products.array() = (products.array() / cap_).tanh();
      if (slope != nullptr) *slope = (T{1} - products.array().square()).matrix();
      products *= cap_;
    }
    if (alibi_heads_ == 0) return;
    const T per_key = static_cast<T>(alibi_slope(static_cast<int>(shape_.first_head + at.head),
                                                 static_cast<int>(alibi_heads_)));
    for (std::int64_t i = 0; i < products.rows(); ++i) {
      for (std::int64_t j = 0; j < products.cols(); ++j) {
        products(i, j) += per_key * static_cast<T>(at.key + j - at.query - i);
      }
    }
  }

 private:
  const AttentionShape& shape_;
  T scale_;
  T cap_;
  std::int64_t alibi_heads_;
};

/// Whether a tile of `queries` × `keys` has entries that fill_masked() sets.
inline bool is_masked(const KeyRanges& ranges, const TilePlace& at, std::int64_t queries,
                      std::int64_t keys) {
  return at.key + keys > ranges.end(at.sequence, at.query) ||
         at.key < ranges.first(at.sequence, at.query + queries - 1);
}

/// Sets the entries of keys outside of their query's range: scores to −inf before the
/// exponential, and its results to 0. Eigen's exp(−inf) is the least normal number on some
/// processors.
template <class Scores, class T>
void fill_masked(Scores& scores, const KeyRanges& ranges, const TilePlace& at, T value) {
  for (std::int64_t i = 0; i < scores.rows(); ++i) {
    const std::int64_t visible = ranges.end(at.sequence, at.query + i) - at.key;
    const std::int64_t hidden = ranges.first(at.sequence, at.query + i) - at.key;
    for (std::int64_t j = 0; j < std::min(hidden, scores.cols()); ++j) scores(i, j) = value;
    for (std::int64_t j = std::max<std::int64_t>(0, visible); j < scores.cols(); ++j) {
      scores(i, j) = value;
    }
  }
}

/// Writes the dropout mask of a tile / (1 − p), as attention.hpp defines it, to `factors`. The
/// mask fills the first `keys` columns. Tiles of keys start at multiples of 4.
template <class T>
void dropout_factors(Matrix<T>& factors, std::int64_t queries, std::int64_t keys,
                     const AttentionShape& shape, const Dropout& spec, const TilePlace& at) {
  const auto threshold = static_cast<std::uint32_t>(spec.probability * 0x1p32);
  const T keep = static_cast<T>(1 / (1 - spec.probability));
  const std::int64_t quads = (keys + 3) / 4;
  const std::int64_t first = (shape.first_head + at.head) * ((shape.seq + 3) / 4) + at.key / 4;
  const std::uint64_t row =
      spec.first_row + static_cast<std::uint64_t>(at.sequence * shape.seq + at.query);
  factors.resize(queries, 4 * quads);
  PhiloxLanes lanes;
  PhiloxLanes::Words words;
  for (std::int64_t begin = 0; begin < queries * quads; begin += PhiloxLanes::kLanes) {
    const std::int64_t n = std::min(PhiloxLanes::kLanes, queries * quads - begin);
    for (std::int64_t l = 0; l < n; ++l) {
      lanes.set(l, row + static_cast<std::uint64_t>((begin + l) / quads),
                static_cast<std::uint32_t>(first + (begin + l) % quads));
    }
    lanes.draw(spec.key, words);
    T* out = factors.data() + 4 * begin;
    for (std::int64_t i = 0; i < 4 * n; ++i) {
      out[i] = words[static_cast<std::size_t>(i)] >= threshold ? keep : T{0};
    }
  }
}

}  // namespace trireme::cpu
