// SPDX-License-Identifier: Apache-2.0
// The attention branch.
#include "trireme/ops/attention.hpp"

#include "branch.hpp"

namespace trireme {

Attention::Attention(const std::string& name, const ModelConfig& config,
                     const TensorParallel& tp, Tensor rotary)
    : heads_{.kv_heads = config.num_kv_heads / tp.size(),
             .queries_per_kv = config.num_attention_heads / config.num_kv_heads,
             .head_dim = config.head_dim(),
             .first_head = config.num_attention_heads / tp.size() * tp.rank()},
      dropout_(config.attention_dropout),
      stream_(stream_of(name + ".dropout")),
      rotary_(std::move(rotary)),
      query_key_value_(name + ".query_key_value", Linear::Cut::column,
                       {config.hidden_size,
                        config.hidden_size + 2 * config.num_kv_heads * config.head_dim()},
                       config.use_bias_in_attn_linear, config.init_method, tp),
      dense_(name + ".dense", Linear::Cut::row, {config.hidden_size, config.hidden_size},
             config.use_bias_in_attn_linear, config.output_layer_init_method, tp) {
  TRM_CHECK(config.num_kv_heads % tp.size() == 0, "{} kv heads over {} ranks",
            config.num_kv_heads, tp.size());
}

AttentionShape Attention::shape(const MicroBatch& mb) const {
  AttentionShape s = heads_;
  s.batch = mb.batch;
  s.seq = mb.seq;
  return s;
}

Dropout Attention::dropout(const Exec& ex, const MicroBatch& mb) const {
  return {.probability = mb.training ? dropout_ : 0,
          .key = {ex.seed, stream_},
          .first_row = mb.first_row()};
}

Tensor Attention::forward(const Exec& ex, const Tensor& x, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  const AttentionShape s = shape(mb);
  const Tensor qkv = query_key_value_.forward(ex, x);
  if (rotary_.defined()) ops::rotary(ex, qkv, s, rotary_, false);
  const Tensor out = ex.make(x.dtype(), Shape{x.rows(), s.heads() * s.head_dim});
  const Tensor lse = ex.make(accumulator_type(x.dtype()), Shape{s.batch, s.heads(), s.seq});
  ops::attention_forward(ex, qkv, s, dropout(ex, mb), out, lse);
  tape.put(qkv);
  tape.put(out);
  tape.put(lse);
  return dense_.forward(ex, out);
}

Tensor Attention::backward(const Exec& ex, const Tensor& dy, const Tensor& x, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  const AttentionShape s = shape(mb);
  const Tensor lse = tape.take();
  const Tensor out = tape.take();
  const Tensor qkv = tape.take();
  const Tensor dout = dense_.backward(ex, dy, out);
  const Tensor dqkv = ex.make(x.dtype(), qkv.shape());
  ops::attention_backward(ex, dout, qkv, out, lse, s, dropout(ex, mb), dqkv);
  if (rotary_.defined()) ops::rotary(ex, dqkv, s, rotary_, true);
  return query_key_value_.backward(ex, dqkv, x);
}

void Attention::visit(const ParameterVisitor& f) {
  query_key_value_.visit(f);
  dense_.visit(f);
}

}  // namespace trireme
