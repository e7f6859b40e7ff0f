// SPDX-License-Identifier: Apache-2.0
// Attention's arrays, and its formulas with whole score matrices.
#pragma once

#include <array>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/ops/attention.hpp"

#include "numerics.hpp"

namespace trireme::test {

/// A factor for each score: 0 or 1/(1 − p), a matrix for each (sequence, head).
using Masks = std::vector<Host>;

inline AttentionShape shape_of(std::int64_t seq, std::int64_t head_dim, std::int64_t kv_heads,
                               std::int64_t queries_per_kv, std::int64_t batch = 2) {
  return {batch, seq, kv_heads, queries_per_kv, head_dim, 0};
}

/// Forward and backward arrays of one call.
struct Run {
  Run(DType type, const AttentionShape& a, double size = 1)
      : shape(a),
        qkv(random(type, Shape{a.batch * a.seq, a.row_width()}, "qkv", size)),
        dout(random(type, Shape{a.batch * a.seq, a.heads() * a.head_dim}, "dout")),
        out(poisoned(type, dout.shape())),
        lse(poisoned(type, Shape{a.batch, a.heads(), a.seq})),
        dqkv(poisoned(type, qkv.shape())) {}

  void forward(const Dropout& d = {}) const {
    ops::attention_forward(cpu(), {.shape = shape,
                                   .scores = rule,
                                   .dropout = d,
                                   .first_keys = view_of(first_keys),
                                   .end_keys = view_of(end_keys),
                                   .qkv = qkv,
                                   .out = out,
                                   .lse = lse});
  }
  void backward(const Dropout& d = {}) const {
    ops::attention_backward(cpu(), {.shape = shape,
                                    .scores = rule,
                                    .dropout = d,
                                    .first_keys = view_of(first_keys),
                                    .end_keys = view_of(end_keys),
                                    .dout = dout,
                                    .qkv = qkv,
                                    .out = out,
                                    .lse = lse,
                                    .dqkv = dqkv});
  }

  [[nodiscard]] static ConstView view_of(const Tensor& t) {
    return t.defined() ? ConstView(t.view()) : ConstView();
  }
  /// Of query i of sequence b.
  [[nodiscard]] std::int64_t first_key(std::int64_t b, std::int64_t i) const {
    const std::int64_t of_document =
        first_keys.defined() ? first_keys.data<std::int32_t>()[b * shape.seq + i] : 0;
    return rule.window > 0 ? std::max(of_document, i - rule.window + 1) : of_document;
  }

  /// Of query i of sequence b, likewise.
  [[nodiscard]] std::int64_t end_key(std::int64_t b, std::int64_t i) const {
    const std::int64_t of_document =
        end_keys.defined() ? end_keys.data<std::int32_t>()[b * shape.seq + i] : shape.seq;
    return rule.causal ? std::min(of_document, i + 1) : of_document;
  }

  AttentionShape shape;
  ScoreRule rule;
  Tensor qkv, dout, out, lse, dqkv;
  Tensor first_keys;  ///< undefined: no document ends attention
  Tensor end_keys;    ///< likewise
};

struct Reference {
  Host out, lse, dqkv;
};

/// Puts the softmax of query i's scores of keys [first, end) into p. Returns log Σ exp of them.
inline double put_weights(const Host& scores, std::int64_t i, std::int64_t first,
                          std::int64_t end, Host& p) {
  if (first >= end) return 0;
  const auto seen = scores.row(i).segment(first, end - first);
  const double max = seen.maxCoeff();
  p.row(i).segment(first, end - first) = (seen.array() - max).exp();
  const double sum = p.row(i).sum();
  p.row(i) /= sum;
  return max + std::log(sum);
}

/// The formulas with all seq² scores of a head in memory. No masks: no dropout.
inline Reference reference(const Run& run, const Masks& masks = {}) {
  const AttentionShape& a = run.shape;
  const Host qkv = host(run.qkv);
  const Host dout = host(run.dout);
  Reference r{Host(dout.rows(), dout.cols()), Host(a.batch * a.heads(), a.seq),
              Host::Zero(qkv.rows(), qkv.cols())};
  const ScoreRule& rule = run.rule;
  const double scale =
      rule.scale > 0 ? rule.scale : 1 / std::sqrt(static_cast<double>(a.head_dim));
  for (std::int64_t b = 0; b < a.batch; ++b) {
    for (std::int64_t head = 0; head < a.heads(); ++head) {
      const std::int64_t group = head / a.queries_per_kv * a.group_width();
      const std::int64_t row = b * a.seq;
      const std::int64_t q_at = group + head % a.queries_per_kv * a.head_dim;
      const std::int64_t k_at = group + a.queries_per_kv * a.head_dim;
      const std::int64_t v_at = k_at + a.head_dim;
      const auto block = [&](auto& m, std::int64_t column) {
        return m.block(row, column, a.seq, a.head_dim);
      };
      Host scores = scale * block(qkv, q_at) * block(qkv, k_at).transpose();
      Host bend = Host::Ones(a.seq, a.seq);
      if (rule.softcap > 0) {
        scores = rule.softcap * (scores / rule.softcap).array().tanh().matrix();
        bend = (1 - (scores / rule.softcap).array().square()).matrix();
      }
      if (rule.alibi_heads > 0) {
        const double slope = std::exp2(-8.0 * static_cast<double>(a.first_head + head + 1) /
                                       static_cast<double>(rule.alibi_heads));
        for (std::int64_t i = 0; i < a.seq; ++i) {
          for (std::int64_t j = 0; j < a.seq; ++j) {
            scores(i, j) += slope * static_cast<double>(j - i);
          }
        }
      }
      Host p = Host::Zero(a.seq, a.seq);
      for (std::int64_t i = 0; i < a.seq; ++i) {
        r.lse(b * a.heads() + head, i) =
            put_weights(scores, i, run.first_key(b, i), run.end_key(b, i), p);
      }
      const Host mask = masks.empty() ? Host(Host::Ones(a.seq, a.seq))
                                      : masks[static_cast<std::size_t>(b * a.heads() + head)];
      const Host kept = p.cwiseProduct(mask);
      const Host g = block(dout, head * a.head_dim);
      block(r.out, head * a.head_dim) = kept * block(qkv, v_at);
      const Host dp = (g * block(qkv, v_at).transpose()).cwiseProduct(mask);
      const Eigen::VectorXd dot = p.cwiseProduct(dp).rowwise().sum();
      const Host ds = scale * p.cwiseProduct(dp.colwise() - dot).cwiseProduct(bend);
      block(r.dqkv, q_at) += ds * block(qkv, k_at);
      block(r.dqkv, k_at) += ds.transpose() * block(qkv, q_at);
      block(r.dqkv, v_at) += kept.transpose() * g;
    }
  }
  return r;
}

/// The masks that the kernel uses, read off its output: with q = k = 0 all visible keys weigh
/// the same, and with rows of the unit matrix for values each output column is one key.
inline Masks observed_masks(const AttentionShape& a, const Dropout& d, bool causal = true) {
  Masks masks(static_cast<std::size_t>(a.batch * a.heads()), Host::Zero(a.seq, a.seq));
  Run run(DType::f64, a);
  run.rule.causal = causal;
  for (std::int64_t first = 0; first < a.seq; first += a.head_dim) {
    const std::int64_t n = std::min(a.head_dim, a.seq - first);
    assign(run.qkv, Host::Zero(run.qkv.rows(), run.qkv.cols()));
    for (std::int64_t b = 0; b < a.batch; ++b) {
      for (std::int64_t g = 0; g < a.kv_heads; ++g) {
        const std::int64_t v_at = g * a.group_width() + (a.queries_per_kv + 1) * a.head_dim;
        for (std::int64_t j = 0; j < n; ++j) set(run.qkv, b * a.seq + first + j, v_at + j, 1);
      }
    }
    run.forward(d);
    const Host out = host(run.out);
    for (std::int64_t b = 0; b < a.batch; ++b) {
      for (std::int64_t head = 0; head < a.heads(); ++head) {
        Host& mask = masks[static_cast<std::size_t>(b * a.heads() + head)];
        for (std::int64_t i = 0; i < a.seq; ++i) {
          mask.row(i).segment(first, n) = out.row(b * a.seq + i).segment(head * a.head_dim, n) *
                                          static_cast<double>(causal ? i + 1 : a.seq);
        }
      }
    }
  }
  return masks;
}

inline constexpr std::array<std::int64_t, 5> kSeqs = {1, 7, 64, 65, 130};
inline constexpr std::array<std::int64_t, 3> kHeadDims = {8, 20, 64};
/// kv heads and queries of each: plain heads, groups, one kv head for all.
inline constexpr std::array<std::array<std::int64_t, 2>, 3> kGroups = {
    {{3, 1}, {2, 2}, {1, 3}}};
inline const Dropout kDropout{0.3, {77, 5}, 1000};

template <class F>
void for_all_shapes(F&& f) {
  for (const std::int64_t seq : kSeqs) {
    for (const std::int64_t head_dim : kHeadDims) {
      for (const auto& group : kGroups) {
        BOOST_TEST_CONTEXT("seq " << seq << " head_dim " << head_dim << " heads " << group[0]
                                  << " × " << group[1]) {
          f(shape_of(seq, head_dim, group[0], group[1]));
        }
      }
    }
  }
}

}  // namespace trireme::test
