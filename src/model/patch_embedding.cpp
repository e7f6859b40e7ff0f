// SPDX-License-Identifier: Apache-2.0
// Patches of images as rows of a GEMM.
#include "patch_embedding.hpp"

#include <utility>

#include "trireme/model/patches.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/embedding.hpp"
#include "trireme/ops/gemm.hpp"

namespace trireme {

std::vector<std::int32_t> patch_order(const ModelConfig& config) {
  const std::int64_t side = config.patch_size;
  const std::int64_t columns = config.image_size[1];
  const std::int64_t channels = config.num_channels;
  std::vector<std::int32_t> order;
  order.reserve(static_cast<std::size_t>(config.vision_rows() * config.patch_bytes()));
  if (config.has_class_token()) {
    order.assign(static_cast<std::size_t>(config.patch_bytes()), -1);
  }
  for (std::int64_t top = 0; top < config.image_size[0]; top += side) {
    for (std::int64_t left = 0; left < columns; left += side) {
      for (std::int64_t i = 0; i < config.patch_bytes(); ++i) {
        const std::int64_t channel = i / (side * side);
        const std::int64_t row = top + i / side % side;
        const std::int64_t column = left + i % side;
        order.push_back(
            static_cast<std::int32_t>((row * columns + column) * channels + channel));
      }
    }
  }
  return order;
}

PatchEmbedding::PatchEmbedding(const ModelConfig& config, const TensorParallel& tp,
                               Tensor values)
    : tp_(tp), out_(tp.out()), dropout_(config.hidden_dropout), values_(std::move(values)) {
  const auto whole = [&](const char* name, const Shape& shape) {
    Parameter p;
    p.name = name;
    p.global_shape = shape;
    p.box = Box::whole(shape);
    p.init = config.init_method;
    return p;
  };
  const std::int64_t hidden = config.hidden_size;
  const RowRange mine = shard_rows(config.patch_bytes(), tp.rank(), tp.size());
  weight_ = whole("embed_patches.weight", Shape{hidden, config.patch_bytes()});
  weight_.box = Box(Shape{0, mine.offset}, Shape{hidden, mine.extent});
  weight_.sharded_over = {Axis::tp};
  bias_ = whole("embed_patches.bias", Shape{hidden});
  bias_.init = InitMethod::zeros;
  bias_.decay = false;
  if (config.has_class_token()) class_token_ = whole("embed_class.weight", Shape{1, hidden});
  if (config.pos_emb == PositionEmbedding::learned) {
    positions_ = whole("embed_positions.weight", Shape{config.vision_rows(), hidden});
  }
}

Dropout PatchEmbedding::dropout(const Exec& ex, const MicroBatch& mb) const {
  const std::int64_t skipped = tp_.rows_are_cut() ? tp_.local_rows(mb.rows()) * tp_.rank() : 0;
  return {.probability = mb.training ? dropout_ : 0,
          .key = {ex.seed, stream_of("embed_patches.hidden_dropout")},
          .first_row = mb.first_row() + static_cast<std::uint64_t>(skipped)};
}

Tensor PatchEmbedding::patches(const Exec& ex, const MicroBatch& mb) const {
  const std::int64_t bytes = weight_.global_shape[1];
  Tensor x = ex.make(values_.dtype(), Shape{mb.rows(), bytes});
  ops::embedding_forward(ex, {.ids = mb.tokens,
                              .table = values_,
                              .first_row = 0,
                              .y = x.view().reshape(Shape{mb.rows() * bytes, 1})});
  return x;
}

Tensor PatchEmbedding::addends(const Exec& ex, std::int64_t seq) const {
  const View bias = bias_.value;
  Tensor sum = ex.zeros(bias.dtype(), Shape{seq, bias.count()});
  if (positions_) ops::copy(ex, positions_->value, sum);
  const std::int64_t first = class_token_ ? 1 : 0;
  if (class_token_) {
    const View top = sum.view().slice_rows(0, 1);
    ops::add(ex, class_token_->value, top, top);
  }
  ops::positions_forward(ex, {.table = bias.reshape(Shape{1, bias.count()}),
                              .seq = 1,
                              .first_row = 0,
                              .y = sum.view().slice_rows(first, seq - first)});
  return sum;
}

Tensor PatchEmbedding::forward(const Exec& ex, const Tensor&, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  const Tensor x = patches(ex, mb);
  Tensor y = ex.make(x.dtype(), Shape{mb.rows(), weight_.global_shape[0]});
  ops::gemm_into(ex, {.a = x.view().slice_cols(weight_.box.offset[1], weight_.box.extent[1]),
                      .b = weight_.value,
                      .op_b = Op::t,
                      .c = y});
  if (tp_.rank() == 0) {
    ops::positions_forward(
        ex, {.table = addends(ex, mb.seq), .seq = mb.seq, .first_row = 0, .y = y});
  }
  y = out_.forward(ex, std::move(y));
  const Dropout spec = dropout(ex, mb);
  if (spec.probability > 0) ops::apply_dropout(ex, {.x = y, .dropout = spec, .y = y});
  return y;
}

Tensor PatchEmbedding::backward(const Exec& ex, const Tensor& dy, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  Tensor d = dy;
  const Dropout spec = dropout(ex, mb);
  if (spec.probability > 0) {
    d = ex.make(dy.dtype(), dy.shape());
    ops::apply_dropout(ex, {.x = dy, .dropout = spec, .y = d});
  }
  d = out_.backward(ex, std::move(d));
  if (weight_.trains) {
    const Tensor x = patches(ex, mb);
    ops::accumulate_weight_gradient(
        ex, {.dy = d,
             .x = x.view().slice_cols(weight_.box.offset[1], weight_.box.extent[1]),
             .dweight = weight_.grad,
             .dbias = {}});
  }
  backward_addends(ex, d, mb.seq);
  return {};
}

void PatchEmbedding::backward_addends(const Exec& ex, const Tensor& d, std::int64_t seq) const {
  const Tensor sum = ex.zeros(accumulator_type(d.dtype()), Shape{seq, d.cols()});
  ops::positions_backward(ex, {.dy = d, .seq = seq, .first_row = 0, .dtable = sum});
  if (positions_ && positions_->trains) ops::accumulate(ex, sum, positions_->grad);
  if (class_token_ && class_token_->trains) {
    ops::accumulate(ex, sum.view().slice_rows(0, 1), class_token_->grad);
  }
  if (!bias_.trains) return;
  const std::int64_t first = class_token_ ? 1 : 0;
  const Tensor of_bias = ex.zeros(sum.dtype(), bias_.global_shape);
  ops::accumulate_rows(ex, sum.view().slice_rows(first, seq - first), of_bias);
  ops::accumulate(ex, of_bias, bias_.grad);
}

void PatchEmbedding::visit(const ParameterVisitor& f) {
  f(weight_);
  f(bias_);
  if (class_token_) f(*class_token_);
  if (positions_) f(*positions_);
}

}  // namespace trireme
