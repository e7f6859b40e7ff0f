// SPDX-License-Identifier: Apache-2.0
// The attention branch.
#include "trireme/ops/attention.hpp"

#include "trireme/model/kv_cache.hpp"

#include "branch.hpp"

namespace trireme {

namespace {

/// Empty if the tensor is undefined.
ConstView view_of(const Tensor& t) { return t.defined() ? ConstView(t.view()) : ConstView(); }

}  // namespace

Attention::Attention(const std::string& name, const ModelConfig& config,
                     const TensorParallel& tp, AttentionSetting setting)
    : layer_(setting.layer),
      heads_{.kv_heads = config.num_kv_heads / tp.size(),
             .queries_per_kv = config.num_attention_heads / config.num_kv_heads,
             .head_dim = config.head_dim(),
             .first_head = config.num_attention_heads / tp.size() * tp.rank()},
      scores_{.scale = config.score_factor(),
              .softcap = config.attention_logit_softcap,
              .window = setting.window,
              .alibi_heads =
                  config.pos_emb == PositionEmbedding::alibi ? config.num_attention_heads : 0,
              .causal = !config.bidirectional_attention},
      dropout_(config.attention_dropout),
      stream_(stream_of(name + ".dropout")),
      rotary_(std::move(setting.rotary)),
      again_(setting.again),
      query_key_value_(name + ".query_key_value", Linear::Sharding::column,
                       {config.hidden_size,
                        config.attention_width() + 2 * config.num_kv_heads * config.head_dim()},
                       config.use_bias_in_qkv, config.init_method, tp, config.lora),
      dense_(name + ".dense", Linear::Sharding::row,
             {config.attention_width(), config.hidden_size}, config.use_bias_in_attn_linear,
             config.output_layer_init_method, tp, config.lora) {
  TRM_CHECK(config.num_kv_heads % tp.size() == 0, "{} kv heads over {} ranks",
            config.num_kv_heads, tp.size());
  if (config.qk_norm != QkNorm::none) norm_.emplace(name, config, tp);
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

void Attention::prepare(const Exec& ex, const MicroBatch& mb, State& state) const {
  const AttentionShape s = shape(mb);
  state.qkv = norm_ ? norm_->forward(ex, s, state.made, state.sums) : state.made;
  if (!rotary_.defined()) return;
  ops::rotary(
      ex, {.shape = s, .qkv = state.qkv, .table = rotary_, .positions = view_of(mb.positions)});
}

Attention::State Attention::attend(const Exec& ex, const Tensor& x,
                                   const MicroBatch& mb) const {
  const AttentionShape s = shape(mb);
  State state;
  state.made = query_key_value_.forward(ex, x, mb);
  prepare(ex, mb, state);
  state.out = ex.make(x.dtype(), Shape{x.rows(), s.heads() * s.head_dim});
  if (mb.cache != nullptr) {
    TRM_REQUIRE(
        scores_.causal,
        "bidirectional_attention: a model whose tokens see later ones has no cache, and "
        "so generates no text");
    use_cache(ex, *mb.cache, s, state);
    if (!mb.cache->first) return state;
  }
  state.lse = ex.make(accumulator_type(x.dtype()), Shape{s.batch, s.heads(), s.seq});
  ops::attention_forward(ex, {.shape = s,
                              .scores = scores_,
                              .dropout = dropout(ex, mb),
                              .first_keys = view_of(mb.first_keys),
                              .end_keys = view_of(mb.end_keys),
                              .qkv = state.qkv,
                              .out = state.out,
                              .lse = state.lse});
  return state;
}

void Attention::use_cache(const Exec& ex, const CachePass& pass, const AttentionShape& shape,
                          State& state) const {
  const View keys = pass.cache->keys(layer_);
  const View values = pass.cache->values(layer_);
  ops::cache_append(ex, {.shape = shape,
                         .slots = pass.slots,
                         .lengths = pass.lengths,
                         .counts = pass.counts,
                         .qkv = state.qkv,
                         .keys = keys,
                         .values = values});
  if (pass.first) return;
  ops::attention_cached(ex, {.shape = shape,
                             .scores = scores_,
                             .slots = pass.slots,
                             .lengths = pass.lengths,
                             .qkv = state.qkv,
                             .keys = keys,
                             .values = values,
                             .out = state.out});
}

void Attention::keep(const State& state, Tape& tape) const {
  if (again_) return;
  tape.put(state.made);
  tape.put(state.out);
  tape.put(state.lse);
}

Tensor Attention::forward(const Exec& ex, const Tensor& x, Tape& tape) {
  const State state = attend(ex, x, tape.micro_batch());
  keep(state, tape);
  return dense_.forward(ex, state.out, tape.micro_batch());
}

void Attention::record(const Exec& ex, const Tensor& x, Tape& tape) {
  if (!again_) keep(attend(ex, x, tape.micro_batch()), tape);
}

Tensor Attention::backward(const Exec& ex, const Tensor& dy, const Tensor& x, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  const AttentionShape s = shape(mb);
  State state;
  if (again_) {
    state = attend(ex, x, mb);
  } else {
    state.lse = tape.take();
    state.out = tape.take();
    state.made = tape.take();
    state.qkv = state.made;
    if (norm_) prepare(ex, mb, state);
  }
  const Tensor dout = dense_.backward(ex, dy, state.out, mb);
  const Tensor dqkv = ex.make(x.dtype(), state.qkv.shape());
  ops::attention_backward(ex, {.shape = s,
                               .scores = scores_,
                               .dropout = dropout(ex, mb),
                               .first_keys = view_of(mb.first_keys),
                               .end_keys = view_of(mb.end_keys),
                               .dout = dout,
                               .qkv = state.qkv,
                               .out = state.out,
                               .lse = state.lse,
                               .dqkv = dqkv});
  if (rotary_.defined()) {
    ops::rotary(ex, {.shape = s,
                     .qkv = dqkv,
                     .table = rotary_,
                     .positions = view_of(mb.positions),
                     .inverse = true});
  }
  if (norm_) norm_->backward(ex, s, state.made, state.sums, dqkv);
  return query_key_value_.backward(ex, dqkv, x, mb);
}

void Attention::visit(const ParameterVisitor& f) {
  query_key_value_.visit(f);
  if (norm_) norm_->visit(f);
  dense_.visit(f);
}

}  // namespace trireme
