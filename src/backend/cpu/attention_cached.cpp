// SPDX-License-Identifier: Apache-2.0
// The cache of keys and values: appending to it, and attention of one token over it. A kv
// head's queries share one pass over its keys and values.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "trireme/ops/alibi.hpp"

#include "attention_tiles.hpp"
#include "kernels.hpp"
#include "lanes.hpp"

namespace trireme::cpu {

namespace {

constexpr std::int64_t kChunk = 512;  // keys of one task
constexpr std::int64_t kBlock = 64;   // keys whose scores are taken at once

/// A part of the keys of one sequence and kv head.
struct Task {
  std::int64_t sequence;
  std::int64_t group;
  std::int64_t first;  ///< key
  std::int64_t keys;
  bool opens = false;  ///< it has the first keys that the sequence sees
};

std::vector<Task> tasks_of(const ops::AttentionCached& op) {
  const auto* lengths = op.lengths.data<std::int32_t>();
  std::vector<Task> tasks;
  for (std::int64_t b = 0; b < op.shape.batch; ++b) {
    for (std::int64_t g = 0; g < op.shape.kv_heads; ++g) {
      const std::int64_t all = lengths[b] + 1;
      const std::int64_t window = op.scores.window;
      const std::int64_t seen = window > 0 ? std::max<std::int64_t>(0, all - window) : 0;
      for (std::int64_t first = seen; first < all; first += kChunk) {
        tasks.push_back({b, g, first, std::min(kChunk, all - first), first == seen});
      }
    }
  }
  return tasks;
}

/// What a task leaves for each query: a sum of weighted values, then the greatest score, to
/// which weights are relative, and their sum.
template <class T>
struct Partial {
  explicit Partial(const AttentionShape& shape)
      : width((shape.head_dim + kLanes<T> - 1) / kLanes<T> * kLanes<T>), stride(width + 2) {}
  std::int64_t width;   ///< head_dim in whole vectors
  std::int64_t stride;  ///< between queries
};

template <class T>
class Chunk {
 public:
  Chunk(const ops::AttentionCached& op, const Partial<T>& form)
      : op_(op),
        form_(form),
        queries_(op.qkv),
        scores_(static_cast<std::size_t>(op.shape.queries_per_kv * kBlock)) {}

  /// `W` is the type in which the cache is stored.
  template <class W>
  void run(const Task& task, T* partial) {
    const AttentionShape& s = op_.shape;
    const std::int64_t dim = s.head_dim;
    const std::int64_t slot = op_.slots.data<std::int32_t>()[task.sequence];
    const std::int64_t row =
        (slot * s.kv_heads + task.group) * op_.keys.shape()[2] + task.first;
    const W* keys = row_data<W>(op_.keys, row);
    const W* values = row_data<W>(op_.values, row);
    const T scale = static_cast<T>(
        op_.scores.scale > 0 ? op_.scores.scale : 1 / std::sqrt(static_cast<double>(dim)));
    query_ =
        queries_.row(task.sequence, query_column(s, task.group, 0), s.queries_per_kv * dim) *
        scale;
    packed_.resize(static_cast<std::size_t>(packed_elements<T>(s.queries_per_kv, dim)));
    pack_rows<T>(RowsAt<T>{query_.data(), dim}, s.queries_per_kv, dim, packed_.data());
    for (std::int64_t q = 0; q < s.queries_per_kv; ++q) {
      T* to = partial + q * form_.stride;
      std::fill(to, to + form_.width, T{0});
      to[form_.width] = -std::numeric_limits<T>::infinity();
      to[form_.width + 1] = 0;
    }
    for (std::int64_t at = 0; at < task.keys; at += kBlock) {
      const std::int64_t n = std::min(kBlock, task.keys - at);
      dots(packed_.data(), s.queries_per_kv, RowsAt<W>{keys + at * dim, dim}, n, dim,
           scores_.data(), kBlock);
      for (std::int64_t q = 0; q < s.queries_per_kv; ++q) {
        Row<T> scores(scores_.data() + q * kBlock, n);
        finish(scores, task, task.group * s.queries_per_kv + q, task.first + at);
        absorb(scores, partial + q * form_.stride);
      }
      add_values(values + at * dim, n, partial);
    }
  }

 private:
  /// Turns scaled products of a query head and the keys from `key` on into scores.
  void finish(Row<T>& scores, const Task& task, std::int64_t head, std::int64_t key) const {
    const ScoreRule& rule = op_.scores;
    if (rule.softcap > 0) {
      const T cap = static_cast<T>(rule.softcap);
      scores = (scores / cap).tanh() * cap;
    }
    if (rule.alibi_heads == 0) return;
    const T slope = static_cast<T>(alibi_slope(static_cast<int>(op_.shape.first_head + head),
                                               static_cast<int>(rule.alibi_heads)));
    const std::int64_t query = op_.lengths.data<std::int32_t>()[task.sequence];
    for (std::int64_t j = 0; j < scores.size(); ++j) {
      scores[j] += slope * static_cast<T>(key + j - query);
    }
  }

  /// Turns scores into exponentials relative to the new greatest score.
  void absorb(Row<T> scores, T* to) const {
    T& max = to[form_.width];
    T& total = to[form_.width + 1];
    const T m = std::max(max, scores.maxCoeff());
    const T shrink = std::exp(max - m);
    scores = (scores - m).exp();
    total = total * shrink + scores.sum();
    max = m;
    if (shrink != T{1}) Row<T>(to, form_.width) *= shrink;
  }

  template <class W>
  void add_values(const W* values, std::int64_t n, T* partial) const {
    const std::int64_t dim = op_.shape.head_dim;
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t c = 0; c < dim; c += kLanes<T>) {
        const W* from = values + j * dim + c;
        const Lanes<T> v =
            c + kLanes<T> <= dim ? load_lanes(from) : load_some<T>(from, dim - c);
        for (std::int64_t q = 0; q < op_.shape.queries_per_kv; ++q) {
          T* to = partial + q * form_.stride + c;
          const Lanes<T> sum =
              load_lanes(to) + v * scores_[static_cast<std::size_t>(q * kBlock + j)];
          std::memcpy(to, &sum, sizeof sum);
        }
      }
    }
  }

  const ops::AttentionCached& op_;
  const Partial<T>& form_;
  Source<T> queries_;
  Eigen::Array<T, 1, Eigen::Dynamic> query_;
  std::vector<T> packed_;
  std::vector<T> scores_;
};

/// Joins the partial results of consecutive tasks of one sequence and kv head.
template <class T>
void join(const ops::AttentionCached& op, const Partial<T>& form, const Task& task,
          std::int64_t tasks, const T* partial, std::int64_t task_stride, Target<T>& out) {
  const AttentionShape& s = op.shape;
  for (std::int64_t q = 0; q < s.queries_per_kv; ++q) {
    const T* from = partial + q * form.stride;
    T max = -std::numeric_limits<T>::infinity();
    for (std::int64_t t = 0; t < tasks; ++t) {
      max = std::max(max, from[t * task_stride + form.width]);
    }
    T total = 0;
    auto row =
        out.row(task.sequence, (task.group * s.queries_per_kv + q) * s.head_dim, s.head_dim);
    row.setZero();
    for (std::int64_t t = 0; t < tasks; ++t) {
      const T* part = from + t * task_stride;
      const T weight = std::exp(part[form.width] - max);
      row += weight * ConstRow<T>(part, s.head_dim);
      total += weight * part[form.width + 1];
    }
    row /= total;
    out.store();
  }
}

}  // namespace

void CpuKernels::run(Stream&, const ops::CacheAppend& op) {
  const AttentionShape& s = op.shape;
  const auto* slots = op.slots.data<std::int32_t>();
  const auto* lengths = op.lengths.data<std::int32_t>();
  const auto* counts = op.counts.data<std::int32_t>();
  const std::size_t bytes = static_cast<std::size_t>(s.head_dim) * size_of(op.qkv.dtype());
  parallel_for(
      s.batch * s.kv_heads, s.seq * s.head_dim, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t b = i / s.kv_heads;
          const std::int64_t g = i % s.kv_heads;
          const std::int64_t to = (slots[b] * s.kv_heads + g) * op.keys.shape()[2] + lengths[b];
          for (std::int64_t r = 0; r < counts[b]; ++r) {
            const std::int64_t row = b * s.seq + r;
            std::memcpy(address(op.keys, to + r, 0), address(op.qkv, row, key_column(s, g)),
                        bytes);
            std::memcpy(address(op.values, to + r, 0), address(op.qkv, row, value_column(s, g)),
                        bytes);
          }
        }
      });
}

void CpuKernels::run(Stream&, const ops::AttentionCached& op) {
  const std::vector<Task> tasks = tasks_of(op);
  const auto count = static_cast<std::int64_t>(tasks.size());
  by_type(op.qkv.dtype(), [&]<class T>(T) {
    by_storage<T>(op.keys.dtype(), [&]<class W>(const W*) {
      const Partial<T> form(op.shape);
      const std::int64_t stride = op.shape.queries_per_kv * form.stride;
      std::vector<T> partial(static_cast<std::size_t>(count * stride));
#pragma omp parallel if (count > 1)
      {
        Chunk<T> chunk(op, form);
#pragma omp for schedule(dynamic)
        for (std::int64_t i = 0; i < count; ++i) {
          chunk.template run<W>(tasks[static_cast<std::size_t>(i)],
                                partial.data() + i * stride);
        }
      }
      Target<T> out(op.out);
      for (std::int64_t i = 0; i < count;) {
        const Task& task = tasks[static_cast<std::size_t>(i)];
        std::int64_t n = 1;
        while (i + n < count && !tasks[static_cast<std::size_t>(i + n)].opens) ++n;
        join(op, form, task, n, partial.data() + i * stride, stride, out);
        i += n;
      }
    });
  });
}

}  // namespace trireme::cpu
