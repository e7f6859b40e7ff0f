// SPDX-License-Identifier: Apache-2.0
// Norms of queries and keys, one row at a time. Gradients of weights are computed by columns.
#include <cmath>

#include "kernels.hpp"
#include "windows.hpp"

namespace trireme::cpu {

namespace {

/// What a norm's sums say about its entries.
template <class T>
struct Moments {
  Moments(const ops::QkNormRule& rule, const T* sums, std::int64_t norm)
      : n(static_cast<T>(rule.entries(norm))) {
    const T square = sums[2 * norm + 1] / n;
    if (rule.kind == Norm::layernorm) mean = sums[2 * norm] / n;
    rstd =
        T{1} / std::sqrt(std::max(square - mean * mean, T{0}) + static_cast<T>(rule.epsilon));
  }
  T n;
  T mean = 0;
  T rstd = 0;
};

/// A weight or bias of queries and one of keys, in T; nothing if the arrays are empty.
template <class T>
class Pair {
 public:
  using Values = Eigen::Array<T, 1, Eigen::Dynamic>;
  Pair(const ConstView& of_queries, const ConstView& of_keys, double offset = 0) {
    if (of_queries.empty()) return;
    Source<T> q(of_queries);
    Source<T> k(of_keys);
    queries_ = q.row(0, 0, of_queries.count()) + static_cast<T>(offset);
    keys_ = k.row(0, 0, of_keys.count()) + static_cast<T>(offset);
  }
  [[nodiscard]] bool empty() const { return queries_.size() == 0; }
  [[nodiscard]] auto part(bool of_keys, std::int64_t at, std::int64_t n) const {
    return (of_keys ? keys_ : queries_).segment(at, n);
  }

 private:
  Values queries_;
  Values keys_;
};

}  // namespace

void CpuKernels::run(Stream&, const ops::QkNormSums& op) {
  const ops::QkNormLayout layout = op.norm.layout();
  const std::int64_t dim = layout.head_dim;
  by_type(op.qkv.dtype(), [&]<class T>(T) {
    const Pair<T> weights(op.q_weight, op.k_weight, op.norm.weight_offset);
    parallel_for(op.qkv.rows(), op.qkv.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> inputs(op.qkv);
      Source<T> gradients(op.dy);
      for (std::int64_t r = begin; r < end; ++r) {
        T* sums = row_data<T>(op.sums, r);
        for (std::int64_t m = 0; m < layout.norms(); ++m) {
          T first{0};
          T second{0};
          for (std::int64_t h = 0; h < layout.heads(m); ++h) {
            const ConstRow<T> x = inputs.row(r, layout.column(m, h), dim);
            if (op.dy.empty()) {
              first += x.sum();
              second += x.square().sum();
              continue;
            }
            const ConstRow<T> dy = gradients.row(r, layout.column(m, h), dim);
            const auto w = weights.part(layout.of_keys(m), layout.weight(h), dim);
            first += (dy * w).sum();
            second += (dy * w * x).sum();
          }
          sums[2 * m] = first;
          sums[2 * m + 1] = second;
        }
      }
    });
  });
}

void CpuKernels::run(Stream&, const ops::QkNormForward& op) {
  const ops::QkNormLayout layout = op.norm.layout();
  const std::int64_t dim = layout.head_dim;
  by_type(op.qkv.dtype(), [&]<class T>(T) {
    const Pair<T> weights(op.q_weight, op.k_weight, op.norm.weight_offset);
    const Pair<T> biases(op.q_bias, op.k_bias);
    parallel_for(op.qkv.rows(), op.qkv.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> from(op.qkv);
      Target<T> to(op.y);
      for (std::int64_t r = begin; r < end; ++r) {
        for (std::int64_t m = 0; m < layout.norms(); ++m) {
          const Moments<T> of(op.norm, row_data<T>(op.sums, r), m);
          for (std::int64_t h = 0; h < layout.heads(m); ++h) {
            const std::int64_t column = layout.column(m, h);
            const bool key = layout.of_keys(m);
            Row<T> y = to.row(r, column, dim);
            y = (from.row(r, column, dim) - of.mean) * of.rstd *
                weights.part(key, layout.weight(h), dim);
            if (!biases.empty()) y += biases.part(key, layout.weight(h), dim);
            to.store();
          }
        }
        for (std::int64_t g = 0; g < layout.kv_heads; ++g) {
          const std::int64_t column = ((g + 1) * (layout.queries_per_kv + 2) - 1) * dim;
          to.row(r, column, dim) = from.row(r, column, dim);
          to.store();
        }
      }
    });
  });
}

namespace {

/// Adds up entries [begin, end) of each head's gradients of weights and biases. One thread owns
/// each column.
template <class T>
void add_weight_gradients(const ops::QkNormBackward& op, std::int64_t begin, std::int64_t end) {
  const ops::QkNormLayout layout = op.norm.layout();
  const std::int64_t width = end - begin;
  Source<T> inputs(op.qkv);
  Source<T> gradients(op.dqkv);
  Eigen::Array<T, 1, Eigen::Dynamic> dw(width);
  Eigen::Array<T, 1, Eigen::Dynamic> db(width);
  for (std::int64_t m = 0; m < layout.norms(); ++m) {
    const bool key = layout.of_keys(m);
    for (std::int64_t h = 0; h < layout.heads(m); ++h) {
      const std::int64_t column = layout.column(m, h) + begin;
      dw.setZero();
      db.setZero();
      for (std::int64_t r = 0; r < op.qkv.rows(); ++r) {
        const Moments<T> of(op.norm, row_data<T>(op.sums, r), m);
        const ConstRow<T> dy = gradients.row(r, column, width);
        dw += dy * (inputs.row(r, column, width) - of.mean) * of.rstd;
        db += dy;
      }
      const auto add = [&](const View& sums, const auto& values) {
        Target<T> to(sums);
        to.loaded(0, layout.weight(h) + begin, width) += values;
        to.store();
      };
      add(key ? op.dk_weight : op.dq_weight, dw);
      if (!op.dq_bias.empty()) add(key ? op.dk_bias : op.dq_bias, db);
    }
  }
}

}  // namespace

void CpuKernels::run(Stream&, const ops::QkNormBackward& op) {
  const ops::QkNormLayout layout = op.norm.layout();
  const std::int64_t dim = layout.head_dim;
  by_type(op.qkv.dtype(), [&]<class T>(T) {
    const Pair<T> weights(op.q_weight, op.k_weight, op.norm.weight_offset);
    const std::int64_t work = op.qkv.count() / dim;
    parallel_for(dim, work, 8, [&](std::int64_t begin, std::int64_t end) {
      add_weight_gradients<T>(op, begin, end);
    });
    const bool centred = op.norm.kind == Norm::layernorm;
    parallel_for(op.qkv.rows(), op.qkv.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> inputs(op.qkv);
      Target<T> gradients(op.dqkv);
      for (std::int64_t r = begin; r < end; ++r) {
        const T* slopes = row_data<T>(op.slopes, r);
        for (std::int64_t m = 0; m < layout.norms(); ++m) {
          const Moments<T> of(op.norm, row_data<T>(op.sums, r), m);
          const T shift = centred ? slopes[2 * m] / of.n : T{0};
          const T slope =
              (slopes[2 * m + 1] - of.mean * slopes[2 * m]) * of.rstd * of.rstd / of.n;
          for (std::int64_t h = 0; h < layout.heads(m); ++h) {
            const std::int64_t column = layout.column(m, h);
            const auto w = weights.part(layout.of_keys(m), layout.weight(h), dim);
            Row<T> d = gradients.loaded(r, column, dim);
            d = (d * w - shift - (inputs.row(r, column, dim) - of.mean) * slope) * of.rstd;
            gradients.store();
          }
        }
      }
    });
  });
}

}  // namespace trireme::cpu
