// SPDX-License-Identifier: Apache-2.0
// Embeddings.
#include "embedding.hpp"

#include <utility>

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/embedding.hpp"
#include "trireme/ops/gemm.hpp"

namespace trireme {

Parameter vocabulary_parameter(const std::string& name, const ModelConfig& config,
                               const TensorParallel& tp) {
  const auto [offset, extent] = shard_vocabulary(config.vocab_size, tp.rank(), tp.size());
  TRM_REQUIRE(extent > 0 || config.vocab_size == 0,
              "a vocabulary of {} cannot be sharded over model_parallel_size {}",
              config.vocab_size, tp.size());
  Parameter p;
  p.name = name;
  p.global_shape = Shape{config.vocab_size, config.hidden_size};
  p.box = Box(Shape{offset, 0}, Shape{extent, config.hidden_size});
  p.init = config.init_method;
  p.sharded_over = {Axis::tp};
  return p;
}

Parameter token_embedding(const ModelConfig& config, const TensorParallel& tp,
                          ParameterRole role) {
  Parameter p = vocabulary_parameter("embed_in.weight", config, tp);
  p.role = role;
  if (config.ties_output()) p.sum_over = {Axis::ends};
  return p;
}

Embedding::Embedding(const ModelConfig& config, const TensorParallel& tp)
    : tp_(tp),
      out_(tp.out()),
      dropout_(config.hidden_dropout),
      scale_(config.embedding_scale),
      offset_(config.position_offset),
      factor_(config.embedding_factor()),
      table_(token_embedding(config, tp, ParameterRole::token_embedding)) {
  const auto whole = [&](const char* name, std::int64_t rows) {
    Parameter p;
    p.name = name;
    p.global_shape = Shape{rows, config.hidden_size};
    p.box = Box::whole(p.global_shape);
    p.init = config.init_method;
    return p;
  };
  if (config.pos_emb == PositionEmbedding::learned) {
    positions_ = whole("embed_positions.weight", config.max_position_embeddings);
  }
  if (config.type_vocab_size > 0) {
    types_ = whole("embed_types.weight", config.type_vocab_size);
  }
  if (config.embedding_norm) norm_.emplace("embed_norm", config, tp.rows_are_cut());
}

Dropout Embedding::dropout(const Exec& ex, const MicroBatch& mb) const {
  const std::int64_t skipped = tp_.rows_are_cut() ? tp_.local_rows(mb.rows()) * tp_.rank() : 0;
  return {.probability = mb.training ? dropout_ : 0,
          .key = {ex.seed, stream_of("embed_in.hidden_dropout")},
          .first_row = mb.first_row() + static_cast<std::uint64_t>(skipped)};
}

Tensor Embedding::forward(const Exec& ex, const Tensor&, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  Tensor y = ex.make(table_.value.dtype(), Shape{mb.rows(), table_.value.cols()});
  ops::embedding_forward(
      ex, {.ids = mb.tokens, .table = table_.value, .first_row = table_.box.offset[0], .y = y});
  if (scale_ != 1) ops::scale(ex, {.x = y, .factor = scale_, .y = y});
  if (positions_ && tp_.rank() == 0) add_positions(ex, mb, y);
  if (types_ && tp_.rank() == 0) add_types(ex, mb, y);
  if (factor_ != 1) ops::scale(ex, {.x = y, .factor = factor_, .y = y});
  y = out_.forward(ex, std::move(y));
  if (norm_) {
    tape.put(y);
    Tensor statistics;
    y = norm_->forward(ex, y, statistics);
    tape.put(statistics);
  }
  const Dropout spec = dropout(ex, mb);
  if (spec.probability > 0) ops::apply_dropout(ex, {.x = y, .dropout = spec, .y = y});
  return y;
}

void Embedding::add_positions(const Exec& ex, const MicroBatch& mb, const Tensor& y) const {
  if (!mb.positions.defined()) {
    const ConstView table = positions_->value;
    ops::positions_forward(ex, {.table = table.slice_rows(offset_, table.rows() - offset_),
                                .seq = mb.seq,
                                .first_row = 0,
                                .y = y});
    return;
  }
  const Tensor of_documents = ex.make(y.dtype(), y.shape());
  ops::embedding_forward(ex, {.ids = mb.positions,
                              .table = positions_->value,
                              .first_row = -offset_,
                              .y = of_documents});
  ops::add(ex, y, of_documents, y);
}

void Embedding::add_types(const Exec& ex, const MicroBatch& mb, const Tensor& y) const {
  if (!mb.token_types.defined()) {
    const ConstView first = ConstView(types_->value).slice_rows(0, 1);
    ops::positions_forward(ex, {.table = first, .seq = 1, .first_row = 0, .y = y});
    return;
  }
  const Tensor of_types = ex.make(y.dtype(), y.shape());
  ops::embedding_forward(
      ex, {.ids = mb.token_types, .table = types_->value, .first_row = 0, .y = of_types});
  ops::add(ex, y, of_types, y);
}

Tensor Embedding::backward(const Exec& ex, const Tensor& dy, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  Tensor d = dy;
  const Dropout spec = dropout(ex, mb);
  if (spec.probability > 0) {
    d = ex.make(dy.dtype(), dy.shape());
    ops::apply_dropout(ex, {.x = dy, .dropout = spec, .y = d});
  }
  if (norm_) {
    const Tensor statistics = tape.take();
    const Tensor sum = tape.take();
    d = norm_->backward(ex, d, sum, statistics);
  }
  d = out_.backward(ex, std::move(d));
  if (factor_ != 1) {
    const Tensor unscaled = std::exchange(d, ex.make(d.dtype(), d.shape()));
    ops::scale(ex, {.x = unscaled, .factor = factor_, .y = d});
  }
  if (table_.trains) {
    Tensor of_tokens = d;
    if (scale_ != 1) {
      of_tokens = ex.make(d.dtype(), d.shape());
      ops::scale(ex, {.x = d, .factor = scale_, .y = of_tokens});
    }
    ops::embedding_backward(ex, {.ids = mb.tokens,
                                 .dy = of_tokens,
                                 .first_row = table_.box.offset[0],
                                 .dtable = table_.grad});
  }
  backward_tables(ex, mb, d);
  return {};
}

void Embedding::backward_tables(const Exec& ex, const MicroBatch& mb, const Tensor& d) const {
  const auto add = [&](const ConstView& ids, std::int64_t first_row, const View& dtable) {
    ops::embedding_backward(ex,
                            {.ids = ids, .dy = d, .first_row = first_row, .dtable = dtable});
  };
  if (positions_ && positions_->trains) {
    const View grad = positions_->grad;
    if (mb.positions.defined()) {
      add(mb.positions, -offset_, grad);
    } else {
      ops::positions_backward(ex, {.dy = d,
                                   .seq = mb.seq,
                                   .first_row = 0,
                                   .dtable = grad.slice_rows(offset_, grad.rows() - offset_)});
    }
  }
  if (!types_ || !types_->trains) return;
  if (mb.token_types.defined()) {
    add(mb.token_types, 0, types_->grad);
  } else {
    ops::accumulate_rows(ex, d,
                         types_->grad.slice_rows(0, 1).reshape(Shape{types_->grad.cols()}));
  }
}

void Embedding::visit(const ParameterVisitor& f) {
  f(table_);
  if (positions_) f(*positions_);
  if (types_) f(*types_);
  if (norm_) norm_->visit(f);
}

}  // namespace trireme
