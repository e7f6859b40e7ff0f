// SPDX-License-Identifier: Apache-2.0
// Builds the operations in the order that cuDNN's engines recognise.
#include "attention_graph.hpp"

namespace trireme::cuda {

namespace {

/// Layout of q, k or v of all heads, or of a gradient.
Layout part_of_qkv(const AttentionProblem& p) {
  return {{p.batch, p.heads, p.seq, p.head_dim},
          {p.seq * p.qkv_row, 3 * p.head_dim, p.qkv_row, 1}};
}

Layout out_of(const AttentionProblem& p) {
  return {{p.batch, p.heads, p.seq, p.head_dim}, {p.seq * p.out_row, p.head_dim, p.out_row, 1}};
}

Layout scores_of(const AttentionProblem& p) {
  return Layout::packed({p.batch, p.heads, p.seq, p.seq});
}

Layout rows_of(const AttentionProblem& p) {
  return Layout::packed({p.batch, p.heads, p.seq, 1});
}

const GraphArray& causal(Graph& g, const GraphArray& scores) {
  const GraphArray& row = g.index(scores, 2);
  const GraphArray& column = g.index(scores, 3);
  return g.select(scores, g.number(kMinusInfinity), g.at_least(row, column));
}

}  // namespace

Graph attention_forward_graph(const AttentionProblem& p) {
  Graph g;
  const GraphArray& query = g.array(kQuery, p.type, part_of_qkv(p));
  const GraphArray& key_t = g.array(kKey, p.type, part_of_qkv(p).transposed());
  const GraphArray& product = g.inner(CUDNN_DATA_FLOAT, scores_of(p));
  g.multiply(query, key_t, product);
  const GraphArray& scaled = g.pointwise(CUDNN_POINTWISE_MUL, product, g.number(kScale));
  const GraphArray& scores = causal(g, scaled);

  const GraphArray& most = g.reduce(CUDNN_REDUCE_TENSOR_MAX, scores);
  const GraphArray& exponentials =
      g.pointwise(CUDNN_POINTWISE_EXP, g.pointwise(CUDNN_POINTWISE_SUB, scores, most));
  const GraphArray& sum = g.reduce(CUDNN_REDUCE_TENSOR_ADD, exponentials);
  const GraphArray& lse = g.array(kLse, CUDNN_DATA_FLOAT, rows_of(p));
  g.pointwise(CUDNN_POINTWISE_ADD, most, g.pointwise(CUDNN_POINTWISE_LOG, sum), lse);
  const GraphArray& weights = g.inner(p.type, scores_of(p));
  g.pointwise(CUDNN_POINTWISE_DIV, exponentials, sum, weights);

  const GraphArray& value = g.array(kValue, p.type, part_of_qkv(p));
  g.multiply(weights, value, g.array(kOut, p.type, out_of(p)));
  return g;
}

Graph attention_backward_graph(const AttentionProblem& p) {
  Graph g;
  const GraphArray& query = g.array(kQuery, p.type, part_of_qkv(p));
  const GraphArray& key_t = g.array(kKey, p.type, part_of_qkv(p).transposed());
  const GraphArray& value_t = g.array(kValue, p.type, part_of_qkv(p).transposed());
  const GraphArray& out = g.array(kOut, p.type, out_of(p));
  const GraphArray& dout = g.array(kOutGradient, p.type, out_of(p));
  const GraphArray& scale = g.number(kScale);

  const GraphArray& row_sum = g.array(kRowSum, CUDNN_DATA_FLOAT, rows_of(p));
  const GraphArray& dout_out = g.inner(CUDNN_DATA_FLOAT, Layout::packed(out.layout.sizes));
  g.pointwise(CUDNN_POINTWISE_MUL, dout, out, dout_out);
  g.pointwise(CUDNN_POINTWISE_MUL, g.reduce(CUDNN_REDUCE_TENSOR_ADD, dout_out), g.number(kOne),
              row_sum);

  const GraphArray& product = g.inner(CUDNN_DATA_FLOAT, scores_of(p));
  g.multiply(query, key_t, product);
  const GraphArray& scaled = g.pointwise(CUDNN_POINTWISE_MUL, product, scale);
  const GraphArray& shifted =
      g.pointwise(CUDNN_POINTWISE_SUB, scaled, g.array(kLse, CUDNN_DATA_FLOAT, rows_of(p)));
  const GraphArray& weights = g.pointwise(CUDNN_POINTWISE_EXP, causal(g, shifted));
  g.multiply(g.transpose(weights, p.type), dout,
             g.array(kValueGradient, p.type, part_of_qkv(p)));

  const GraphArray& dweights = g.inner(CUDNN_DATA_FLOAT, scores_of(p));
  g.multiply(dout, value_t, dweights);
  const GraphArray& centred = g.pointwise(CUDNN_POINTWISE_SUB, dweights, row_sum);
  const GraphArray& unscaled = g.pointwise(CUDNN_POINTWISE_MUL, centred, weights);
  const GraphArray& dscores = g.pointwise(CUDNN_POINTWISE_MUL, unscaled, scale);
  g.multiply(g.transpose(dscores, p.type), query,
             g.array(kKeyGradient, p.type, part_of_qkv(p)));

  const GraphArray& key = g.transpose(key_t, CUDNN_DATA_FLOAT);
  g.multiply(dscores, key, g.array(kQueryGradient, p.type, part_of_qkv(p)));
  return g;
}

}  // namespace trireme::cuda
