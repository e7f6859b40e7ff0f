// SPDX-License-Identifier: Apache-2.0
// Checks arguments of the norms of queries and keys.
#include "trireme/ops/qk_norm.hpp"

#include "check.hpp"

namespace trireme::ops {

namespace {

void check(const QkNormRule& norm, const ConstView& qkv, const ConstView& sums) {
  const AttentionShape& a = norm.shape;
  TRM_CHECK(qkv.rows() == a.batch * a.seq && qkv.cols() == a.row_width() &&
                sums.rows() == qkv.rows() && sums.cols() == 2 * norm.layout().norms(),
            "norms of {} heads × {} on {} with sums {}", a.heads(), a.head_dim,
            qkv.shape().str(), sums.shape().str());
  TRM_CHECK(!norm.rows || norm.kind == Norm::rmsnorm, "a norm of rows has no mean");
  check_accumulators(qkv, {sums});
}

void check_vectors(const QkNormRule& norm, const ConstView& of_queries,
                   const ConstView& of_keys) {
  const AttentionShape& a = norm.shape;
  const std::int64_t q = norm.rows ? a.heads() * a.head_dim : a.head_dim;
  const std::int64_t k = norm.rows ? a.kv_heads * a.head_dim : a.head_dim;
  TRM_CHECK(of_queries.count() == q && of_keys.count() == k,
            "weights {} and {} of norms of queries and keys", of_queries.shape().str(),
            of_keys.shape().str());
  check_contiguous({of_queries, of_keys});
}

}  // namespace

void qk_norm_sums(const Exec& ex, const QkNormSums& op) {
  check(op.norm, op.qkv, op.sums);
  if (!op.dy.empty()) {
    check_types(op.qkv, {op.dy, op.q_weight, op.k_weight});
    check_vectors(op.norm, op.q_weight, op.k_weight);
  }
  ex.kernels.run(ex.stream, op);
}

void qk_norm_forward(const Exec& ex, const QkNormForward& op) {
  check(op.norm, op.qkv, op.sums);
  check(op.norm, op.y, op.sums);
  check_types(op.qkv, {op.y, op.q_weight, op.k_weight, op.q_bias, op.k_bias});
  check_vectors(op.norm, op.q_weight, op.k_weight);
  if (!op.q_bias.empty()) check_vectors(op.norm, op.q_bias, op.k_bias);
  ex.kernels.run(ex.stream, op);
}

void qk_norm_backward(const Exec& ex, const QkNormBackward& op) {
  check(op.norm, op.qkv, op.sums);
  check(op.norm, op.dqkv, op.slopes);
  check_types(op.qkv, {op.dqkv, op.q_weight, op.k_weight});
  check_types_or_accumulators(op.qkv, {op.dq_weight, op.dk_weight, op.dq_bias, op.dk_bias});
  check_vectors(op.norm, op.q_weight, op.k_weight);
  check_vectors(op.norm, op.dq_weight, op.dk_weight);
  if (!op.dq_bias.empty()) check_vectors(op.norm, op.dq_bias, op.dk_bias);
  ex.kernels.run(ex.stream, op);
}

}  // namespace trireme::ops
