// SPDX-License-Identifier: Apache-2.0
// Rotary embedding, and attention's forward pass: one task per (sequence, head, query tile).
#include <cmath>
#include <limits>
#include <vector>

#include "attention_products.hpp"
#include "attention_tiles.hpp"
#include "kernels.hpp"

namespace trireme::cpu {

void CpuKernels::run(Stream&, const ops::Rotary& op) {
  const AttentionShape& shape = op.shape;
  by_type(op.qkv.dtype(), [&]<class T>(T) {
    const std::int64_t half = op.table.cols() / 2;
    const auto* positions = op.positions.empty() ? nullptr : op.positions.data<std::int32_t>();
    const T sign = static_cast<T>(op.inverse ? -1 : 1);
    const auto rotate = [&](T* x, const T* cosine, const T* sine) {
      for (std::int64_t i = 0; i < half; ++i) {
        const T a = x[i];
        const T b = x[half + i];
        x[i] = a * cosine[i] - sign * b * sine[i];
        x[half + i] = b * cosine[i] + sign * a * sine[i];
      }
    };
    parallel_for(op.qkv.rows(), op.qkv.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Target<T> window(op.qkv);
      for (std::int64_t r = begin; r < end; ++r) {
        const T* angles =
            row_data<T>(op.table, positions == nullptr ? r % shape.seq : positions[r]);
        for (std::int64_t g = 0; g < shape.kv_heads; ++g) {
          for (std::int64_t h = 0; h <= shape.queries_per_kv; ++h) {  // the queries and the key
            T* x = window.loaded(r, query_column(shape, g, h), 2 * half).data();
            rotate(x, angles, angles + half);
            window.store();
          }
        }
      }
    });
  });
}

namespace {

/// State of one thread: windows, and the online softmax of one tile of queries. Scores have a
/// row for each key, which puts queries side by side in vectors.
template <class T>
struct ForwardTile {
  ForwardTile(const ConstView& qkv, const View& out, std::int64_t head_dim)
      : queries(qkv),
        keys(qkv),
        values(qkv),
        result(out),
        dim(head_dim),
        width(in_panels<T>(head_dim)),
        query(static_cast<std::size_t>(kQueryTile * dim)),
        value(static_cast<std::size_t>(kKeyTile * width)),
        sum(kQueryTile, width) {}

  Source<T> queries;
  Source<T> keys;
  Source<T> values;
  Target<T> result;
  std::int64_t dim;
  std::int64_t width;    ///< dim in whole panels
  std::vector<T> query;  ///< panels of queries, scaled
  Matrix<T> key;
  std::vector<T> value;  ///< panels
  Matrix<T> scores;      ///< [keys, kQueryTile]
  Matrix<T> factors;     ///< dropout mask / (1 − p)
  Matrix<T> sum;         ///< Σ P V so far, relative to `max`
  Eigen::Array<T, 1, Eigen::Dynamic> max;
  Eigen::Array<T, 1, Eigen::Dynamic> total;

  void begin(std::int64_t row, std::int64_t n, std::int64_t column, T scale) {
    fill_panels<T>(queries.tile(row, n, column, dim), true, query.data());
    for (T& x : query) x *= scale;
    sum.setZero();
    total.setZero(n);
    max.setConstant(n, -std::numeric_limits<T>::infinity());
  }

  void multiply_keys(std::int64_t row, std::int64_t count, std::int64_t column) {
    key = keys.tile(row, count, column, dim);
    scores.resize(count, kQueryTile);
    multiply_panels<T>({key.data(), dim, 1}, count, query.data(), max.size(), dim,
                       scores.data(), kQueryTile, false);
  }

  void add_values(std::int64_t row, std::int64_t column) {
    fill_panels<T>(values.tile(row, scores.rows(), column, dim), false, value.data());
    multiply_panels<T>({scores.data(), 1, kQueryTile}, max.size(), value.data(), dim,
                       scores.rows(), sum.data(), width, true);
  }

  /// Turns scores into exponentials relative to the new maximum, and rescales earlier sums.
  void absorb_scores() {
    const std::int64_t n = max.size();
    Eigen::Array<T, 1, Eigen::Dynamic, Eigen::RowMajor, 1, kQueryTile> most = max;
    for (std::int64_t j = 0; j < scores.rows(); ++j) {
      most = most.max(scores.row(j).head(n).array());
    }
    // A query has seen no key yet if all keys so far are of other documents.
    const Eigen::Array<T, 1, Eigen::Dynamic, Eigen::RowMajor, 1, kQueryTile> base =
        (most == -std::numeric_limits<T>::infinity()).select(T{0}, most);
    const Eigen::Array<T, 1, Eigen::Dynamic, Eigen::RowMajor, 1, kQueryTile> shrink =
        (max - base).exp();
    total *= shrink;
    for (std::int64_t j = 0; j < scores.rows(); ++j) {
      auto line = scores.row(j).head(n).array();
      line = (line - base).exp();
      total += line;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      if (shrink[i] != T{1}) sum.row(i) *= shrink[i];
    }
    max = most;
  }
};

template <class T>
void forward_tile(const ops::AttentionForward& op, TilePlace at, ForwardTile<T>& tile) {
  const AttentionShape& shape = op.shape;
  const Dropout& dropout = op.dropout;
  const KeyRanges ranges(op);
  const Scores<T> scores(op.scores, shape);
  const std::int64_t n = std::min(kQueryTile, shape.seq - at.query);
  const std::int64_t row = at.sequence * shape.seq;
  const std::int64_t dim = shape.head_dim;
  const std::int64_t group = at.head / shape.queries_per_kv;
  const std::int64_t column = query_column(shape, group, at.head % shape.queries_per_kv);
  tile.begin(row + at.query, n, column, scores.scale());
  const std::int64_t end = ranges.end(at.sequence, at.query + n - 1);
  at.key = ranges.first_tile(at.sequence, at.query, end);
  for (; at.key < end; at.key += kKeyTile) {
    const std::int64_t keys = std::min(kKeyTile, end - at.key);
    tile.multiply_keys(row + at.key, keys, key_column(shape, group));
    auto by_query = tile.scores.leftCols(n).transpose();
    scores.finish(by_query, at);
    const bool masked = is_masked(ranges, at, n, keys);
    if (masked) fill_masked(by_query, ranges, at, -std::numeric_limits<T>::infinity());
    tile.absorb_scores();
    if (masked) fill_masked(by_query, ranges, at, T{0});
    if (dropout.probability > 0) {
      dropout_factors(tile.factors, n, keys, shape, dropout, at);
      by_query.array() *= tile.factors.leftCols(keys).array();
    }
    tile.add_values(row + at.key, value_column(shape, group));
  }
  auto result = tile.result.tile(row + at.query, n, at.head * dim, dim);
  T* log_sum =
      op.lse.data<T>() + (at.sequence * shape.heads() + at.head) * shape.seq + at.query;
  for (std::int64_t i = 0; i < n; ++i) {
    if (ranges.end(at.sequence, at.query + i) <= ranges.first(at.sequence, at.query + i)) {
      result.row(i).setZero();
      log_sum[i] = 0;
      continue;
    }
    result.row(i) = tile.sum.row(i).head(dim) / tile.total[i];
    log_sum[i] = tile.max[i] + std::log(tile.total[i]);
  }
  tile.result.store();
}

}  // namespace

void CpuKernels::run(Stream&, const ops::AttentionForward& op) {
  const AttentionShape& shape = op.shape;
  by_type(op.qkv.dtype(), [&]<class T>(T) {
    const std::int64_t tiles = (shape.seq + kQueryTile - 1) / kQueryTile;
    const std::int64_t tasks = shape.batch * shape.heads() * tiles;
#pragma omp parallel if (tasks > 1)
    {
      ForwardTile<T> tile(op.qkv, op.out, shape.head_dim);
#pragma omp for schedule(dynamic)
      for (std::int64_t task = 0; task < tasks; ++task) {
        // Start with the longest rows of keys, which leaves short tasks for the end.
        const std::int64_t q = tiles - 1 - task / (shape.batch * shape.heads());
        const std::int64_t which = task % (shape.batch * shape.heads());
        forward_tile<T>(op, {which / shape.heads(), which % shape.heads(), q * kQueryTile, 0},
                        tile);
      }
    }
  });
}

}  // namespace trireme::cpu
