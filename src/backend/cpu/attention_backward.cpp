// SPDX-License-Identifier: Apache-2.0
// Attention's backward pass. One task per sequence and kv head owns dK and dV of that head and
// dQ of its queries. No two tasks add to one element.
#include <cmath>

#include "attention_tiles.hpp"
#include "kernels.hpp"

namespace trireme::cpu {

namespace {

/// State of one thread: windows and scratch memory.
template <class T>
class BackwardTasks {
 public:
  explicit BackwardTasks(const ops::AttentionBackward& op)
      : lse_(op.lse),
        shape_(op.shape),
        dropout_(op.dropout),
        ranges_(op),
        scores_(op.scores, op.shape),
        queries_(op.qkv),
        keys_(op.qkv),
        values_(op.qkv),
        douts_(op.dout),
        outs_(op.out),
        dqueries_(op.dqkv),
        dkeys_(op.dqkv),
        dvalues_(op.dqkv) {}

  void run(std::int64_t sequence, std::int64_t group) {
    const std::int64_t row = sequence * shape_.seq;
    const std::int64_t dim = shape_.head_dim;
    auto dk = dkeys_.tile(row, shape_.seq, key_column(shape_, group), dim);
    auto dv = dvalues_.tile(row, shape_.seq, value_column(shape_, group), dim);
    dk.setZero();
    dv.setZero();
    for (std::int64_t h = 0; h < shape_.queries_per_kv; ++h) {
      const std::int64_t head = group * shape_.queries_per_kv + h;
      for (std::int64_t first = 0; first < shape_.seq; first += kQueryTile) {
        const std::int64_t n = std::min(kQueryTile, shape_.seq - first);
        const std::int64_t column = query_column(shape_, group, h);
        const Queries of{queries_.tile(row + first, n, column, dim),
                         douts_.tile(row + first, n, head * dim, dim)};
        const auto o = outs_.tile(row + first, n, head * dim, dim);
        auto dq = dqueries_.tile(row + first, n, column, dim);
        dq.setZero();
        dot_ = (of.dout.array() * o.array()).rowwise().sum();
        const std::int64_t end = ranges_.end(sequence, first + n - 1);
        for (std::int64_t k = ranges_.first_tile(sequence, first, end); k < end;
             k += kKeyTile) {
          const std::int64_t keys = std::min(kKeyTile, end - k);
          tile({sequence, head, first, k}, of, dq, dk.middleRows(k, keys),
               dv.middleRows(k, keys));
        }
        dqueries_.store();
      }
    }
    dkeys_.store();
    dvalues_.store();
  }

 private:
  /// A tile of queries, and the gradient of their outputs.
  struct Queries {
    ConstMatrixMap<T> query;
    ConstMatrixMap<T> dout;
  };
  using Rows = Eigen::Block<MatrixMap<T>, Eigen::Dynamic, Eigen::Dynamic, true>;

  void tile(const TilePlace& at, const Queries& of, MatrixMap<T>& dq, Rows dk, Rows dv) {
    const std::int64_t queries = of.query.rows();
    const std::int64_t keys = dk.rows();
    const std::int64_t row = at.sequence * shape_.seq + at.key;
    const std::int64_t group = at.head / shape_.queries_per_kv;
    const auto k = keys_.tile(row, keys, key_column(shape_, group), shape_.head_dim);
    const auto v = values_.tile(row, keys, value_column(shape_, group), shape_.head_dim);

    probability_.noalias() = of.query * k.transpose();
    probability_ *= scores_.scale();
    scores_.finish(probability_, at, &bend_);
    const bool masked = is_masked(ranges_, at, queries, keys);
    if (masked) {
      fill_masked(probability_, ranges_, at, -std::numeric_limits<T>::infinity());
    }
    const T* log_sum =
        lse_.data<T>() + (at.sequence * shape_.heads() + at.head) * shape_.seq + at.query;
    for (std::int64_t i = 0; i < queries; ++i) {
      probability_.row(i) = (probability_.row(i).array() - log_sum[i]).exp();
    }
    if (masked) fill_masked(probability_, ranges_, at, T{0});
    slope_.noalias() = of.dout * v.transpose();
    if (dropout_.probability > 0) {
      dropout_factors(factors_, queries, keys, shape_, dropout_, at);
      masked_ = probability_.cwiseProduct(factors_.leftCols(keys));
      slope_.array() *= factors_.leftCols(keys).array();
      dv.noalias() += masked_.transpose() * of.dout;
    } else {
      dv.noalias() += probability_.transpose() * of.dout;
    }
    slope_.array() = probability_.array() * (slope_.array().colwise() - dot_) * scores_.scale();
    if (scores_.capped()) slope_.array() *= bend_.array();
    dq.noalias() += slope_ * k;
    dk.noalias() += slope_.transpose() * of.query;
  }

  const ConstView& lse_;
  const AttentionShape& shape_;
  const Dropout& dropout_;
  KeyRanges ranges_;
  Scores<T> scores_;
  Source<T> queries_, keys_, values_, douts_, outs_;
  Target<T> dqueries_, dkeys_, dvalues_;  ///< sums in T, rounded once
  Matrix<T> probability_;
  Matrix<T> masked_;                        ///< probability under dropout
  Matrix<T> factors_;                       ///< dropout mask / (1 − p)
  Matrix<T> slope_;                         ///< dS
  Matrix<T> bend_;                          ///< derivative of the scores' cap
  Eigen::Array<T, Eigen::Dynamic, 1> dot_;  ///< Σ dO·O of each query
};

}  // namespace

void CpuKernels::run(Stream&, const ops::AttentionBackward& op) {
  const AttentionShape& shape = op.shape;
  by_type(op.qkv.dtype(), [&]<class T>(T) {
    const std::int64_t tasks = shape.batch * shape.kv_heads;
#pragma omp parallel if (tasks > 1)
    {
      BackwardTasks<T> mine(op);
#pragma omp for schedule(dynamic)
      for (std::int64_t i = 0; i < tasks; ++i) mine.run(i / shape.kv_heads, i % shape.kv_heads);
    }
  });
}

}  // namespace trireme::cpu
