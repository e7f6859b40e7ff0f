// SPDX-License-Identifier: Apache-2.0
// Attention's backward pass: one task a (sequence, kv head), which owns dK and dV of that head
// and dQ of its queries, so that nothing is added by two threads.
#include <cmath>

#include "attention_tiles.hpp"
#include "kernels.hpp"

namespace trireme::cpu {

namespace {

/// Everything that one task reads and writes.
template <class T>
struct BackwardTask {
  const ConstView& dout;
  const ConstView& qkv;
  const ConstView& out;
  const ConstView& lse;
  const AttentionShape& shape;
  const Dropout& dropout;
  const View& dqkv;

  Matrix<T> probability = {};
  Matrix<T> masked = {};                        ///< probability under dropout
  Matrix<T> factors = {};                       ///< of dropout
  Matrix<T> slope = {};                         ///< dS
  Eigen::Array<T, Eigen::Dynamic, 1> dot = {};  ///< Σ dO·O of each query

  void run(std::int64_t sequence, std::int64_t group) {
    const auto grad = windows<T>(dqkv, shape, sequence);
    for (std::int64_t h = 0; h < shape.queries_per_kv + 2; ++h) {
      grad.query(group, h, 0, shape.seq).setZero();
    }
    for (std::int64_t h = 0; h < shape.queries_per_kv; ++h) {
      const std::int64_t head = group * shape.queries_per_kv + h;
      for (std::int64_t q = 0; q < shape.seq; q += kQueryTile) {
        const std::int64_t n = std::min(kQueryTile, shape.seq - q);
        const auto g = head_rows<T>(dout, shape, sequence, head, q, n);
        const auto o = head_rows<T>(out, shape, sequence, head, q, n);
        dot = (g.array() * o.array()).rowwise().sum();
        for (std::int64_t k = 0; k < q + n; k += kKeyTile) {
          tile({sequence, head, q, k}, n, std::min(kKeyTile, q + n - k));
        }
      }
    }
  }

 private:
  void tile(const TilePlace& at, std::int64_t queries, std::int64_t keys) {
    const std::int64_t group = at.head / shape.queries_per_kv;
    const std::int64_t h = at.head % shape.queries_per_kv;
    const auto in = windows<T>(qkv, shape, at.sequence);
    const auto grad = windows<T>(dqkv, shape, at.sequence);
    const T scale = T{1} / std::sqrt(static_cast<T>(shape.head_dim));
    const auto q = in.query(group, h, at.query, queries);
    const auto k = in.key(group, at.key, keys);
    const auto g = head_rows<T>(dout, shape, at.sequence, at.head, at.query, queries);

    probability.noalias() = q * k.transpose();
    probability *= scale;
    if (at.key + keys > at.query + 1) apply_causal_mask(probability, at);
    const T* log_sum =
        lse.data<T>() + (at.sequence * shape.heads() + at.head) * shape.seq + at.query;
    for (std::int64_t i = 0; i < queries; ++i) {
      probability.row(i) = (probability.row(i).array() - log_sum[i]).exp();
    }
    slope.noalias() = g * in.value(group, at.key, keys).transpose();
    auto dv = grad.value(group, at.key, keys);
    if (dropout.probability > 0) {
      dropout_factors(factors, queries, keys, shape, dropout, at);
      masked = probability.cwiseProduct(factors.leftCols(keys));
      slope.array() *= factors.leftCols(keys).array();
      dv.noalias() += masked.transpose() * g;
    } else {
      dv.noalias() += probability.transpose() * g;
    }
    slope.array() = probability.array() * (slope.array().colwise() - dot) * scale;
    grad.query(group, h, at.query, queries).noalias() += slope * k;
    grad.key(group, at.key, keys).noalias() += slope.transpose() * q;
  }
};

}  // namespace

void CpuKernels::attention_backward(Stream&, const ConstView& dout, const ConstView& qkv,
                                    const ConstView& out, const ConstView& lse,
                                    const AttentionShape& shape, const Dropout& dropout,
                                    const View& dqkv) {
  check_type(lse, qkv.dtype());
  by_type(qkv.dtype(), [&]<class T>(T) {
    const std::int64_t tasks = shape.batch * shape.kv_heads;
#pragma omp parallel if (tasks > 1)
    {
      BackwardTask<T> task{dout, qkv, out, lse, shape, dropout, dqkv};
#pragma omp for schedule(dynamic)
      for (std::int64_t i = 0; i < tasks; ++i) task.run(i / shape.kv_heads, i % shape.kv_heads);
    }
  });
}

}  // namespace trireme::cpu
