// SPDX-License-Identifier: Apache-2.0
// Checks arguments of attention, and computes the table of rotary angles.
#include "trireme/ops/attention.hpp"

#include <cmath>
#include <vector>

#include "check.hpp"

namespace trireme::ops {

namespace {

/// One number for each row, or none.
void check_per_row(const ConstView& numbers, const ConstView& qkv) {
  TRM_CHECK(numbers.empty() || (numbers.dtype() == DType::i32 && numbers.count() == qkv.rows()),
            "{} numbers of {} for {} rows", numbers.count(), name_of(numbers.dtype()),
            qkv.rows());
  check_contiguous({numbers});
}

void check(const ConstView& qkv, const AttentionShape& a, const Dropout& dropout,
           const ConstView& out, const ConstView& lse) {
  TRM_CHECK(qkv.rows() == a.batch * a.seq && qkv.cols() == a.row_width() &&
                out.rows() == qkv.rows() && out.cols() == a.heads() * a.head_dim &&
                lse.count() == a.batch * a.heads() * a.seq,
            "attention of {} heads × {} on {}", a.heads(), a.head_dim, qkv.shape().str());
  TRM_CHECK(dropout.probability >= 0 && dropout.probability < 1, "dropout with probability {}",
            dropout.probability);
  check_types(qkv, {out});
  check_accumulators(qkv, {lse});
  check_contiguous({lse});
}

/// What the operations on a cache have in common.
void check_cache(const AttentionShape& a, const ConstView& qkv, const ConstView& keys,
                 const ConstView& values, std::initializer_list<ConstView> per_sequence) {
  TRM_CHECK(qkv.rows() == a.batch * a.seq && qkv.cols() == a.row_width(),
            "a cache for {} heads × {} on {}", a.heads(), a.head_dim, qkv.shape().str());
  TRM_CHECK(keys.shape().rank() == 4 && keys.shape()[1] == a.kv_heads &&
                keys.shape()[3] == a.head_dim && values.shape() == keys.shape(),
            "a cache {} for {} kv heads × {}", keys.shape().str(), a.kv_heads, a.head_dim);
  for (const ConstView& v : per_sequence) {
    TRM_CHECK(v.dtype() == DType::i32 && v.count() == a.batch, "{} numbers for {} sequences",
              v.count(), a.batch);
  }
  check_contiguous(per_sequence);
  check_contiguous({keys, values});
  check_types(qkv, {keys, values});
}

void check(const ScoreRule& scores) {
  TRM_CHECK(scores.causal || (scores.window == 0 && scores.alibi_heads == 0),
            "attention to later keys with window {} and slopes of {} heads", scores.window,
            scores.alibi_heads);
  TRM_CHECK(
      scores.scale >= 0 && scores.softcap >= 0 && scores.window >= 0 && scores.alibi_heads >= 0,
      "attention with scale {}, cap {}, window {} and slopes of {} heads", scores.scale,
      scores.softcap, scores.window, scores.alibi_heads);
}

std::vector<double> frequencies_of(const RotaryTable& t) {
  if (!t.frequencies.empty()) return t.frequencies;
  std::vector<double> list;
  for (std::int64_t i = 0; i < t.rotary_dim / 2; ++i) {
    list.push_back(
        std::pow(t.base, -2.0 * static_cast<double>(i) / static_cast<double>(t.rotary_dim)));
  }
  return list;
}

template <class T>
void fill(std::vector<T>& table, std::int64_t seq, const std::vector<double>& frequencies,
          double factor) {
  const std::size_t half = frequencies.size();
  for (std::int64_t p = 0; p < seq; ++p) {
    T* row = table.data() + static_cast<std::size_t>(p) * 2 * half;
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * frequencies[i];
      row[i] = static_cast<T>(factor * std::cos(angle));
      row[half + i] = static_cast<T>(factor * std::sin(angle));
    }
  }
}

}  // namespace

Tensor rotary_table(const Exec& ex, const RotaryTable& t) {
  TRM_CHECK(t.rotary_dim % 2 == 0, "rotary embedding of an odd number of entries, {}",
            t.rotary_dim);
  TRM_CHECK(t.frequencies.empty() ||
                2 * static_cast<std::int64_t>(t.frequencies.size()) == t.rotary_dim,
            "{} frequencies for {} entries", t.frequencies.size(), t.rotary_dim);
  TRM_CHECK(floating(t.dtype), "a rotary table for {}", name_of(t.dtype));
  Tensor table = ex.make(accumulator_type(t.dtype), Shape{t.seq, t.rotary_dim});
  if (ex.device.kind() == DeviceKind::dry) return table;
  const auto upload = [&]<class T>(T) {
    std::vector<T> host(static_cast<std::size_t>(t.seq * t.rotary_dim));
    fill(host, t.seq, frequencies_of(t), t.factor);
    ex.device.copy_from_host(table.view().raw(), host.data(), table.view().bytes(), ex.stream);
    ex.stream.synchronize();
  };
  if (t.dtype == DType::f64) {
    upload(double{});
  } else {
    upload(float{});
  }
  return table;
}

void rotary(const Exec& ex, const Rotary& op) {
  TRM_CHECK(op.qkv.rows() == op.shape.batch * op.shape.seq &&
                op.qkv.cols() == op.shape.row_width() && op.table.rows() >= op.shape.seq &&
                op.table.cols() <= op.shape.head_dim,
            "rotary table {} on {}", op.table.shape().str(), op.qkv.shape().str());
  check_accumulators(op.qkv, {op.table});
  check_per_row(op.positions, op.qkv);
  ex.kernels.run(ex.stream, op);
}

void attention_forward(const Exec& ex, const AttentionForward& op) {
  check(op.qkv, op.shape, op.dropout, op.out, op.lse);
  check_per_row(op.first_keys, op.qkv);
  check_per_row(op.end_keys, op.qkv);
  check(op.scores);
  ex.kernels.run(ex.stream, op);
}

void attention_backward(const Exec& ex, const AttentionBackward& op) {
  check(op.qkv, op.shape, op.dropout, op.out, op.lse);
  check(op.dqkv, op.shape, op.dropout, op.dout, op.lse);
  check_types(op.qkv, {op.dqkv});
  check_per_row(op.first_keys, op.qkv);
  check_per_row(op.end_keys, op.qkv);
  check(op.scores);
  ex.kernels.run(ex.stream, op);
}

void cache_append(const Exec& ex, const CacheAppend& op) {
  check_cache(op.shape, op.qkv, op.keys, op.values, {op.slots, op.lengths, op.counts});
  ex.kernels.run(ex.stream, op);
}

void attention_cached(const Exec& ex, const AttentionCached& op) {
  check_cache(op.shape, op.qkv, op.keys, op.values, {op.slots, op.lengths});
  TRM_CHECK(op.shape.seq == 1 && op.out.rows() == op.qkv.rows() &&
                op.out.cols() == op.shape.heads() * op.shape.head_dim,
            "cached attention of {} rows to {}", op.qkv.rows(), op.out.shape().str());
  TRM_CHECK(op.scores.causal, "a cache holds no later keys");
  check_types(op.qkv, {op.out});
  ex.kernels.run(ex.stream, op);
}

}  // namespace trireme::ops
