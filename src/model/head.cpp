// SPDX-License-Identifier: Apache-2.0
// Output matrix and loss by chunks of rows.
#include "head.hpp"

#include <algorithm>

#include "trireme/model/transformer.hpp"
#include "trireme/ops/cross_entropy.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/gemm.hpp"

#include "embedding.hpp"
#include "target_loss.hpp"

namespace trireme {

namespace {

/// Logits in one chunk: enough for efficient GEMMs, yet small beside the activations. A GPU
/// takes more, because each chunk reads and writes the whole gradient of the weights.
constexpr std::int64_t kChunkElements = std::int64_t{1} << 24;
constexpr std::int64_t kGpuChunkElements = std::int64_t{1} << 27;
constexpr std::int64_t kMinChunkRows = 64;
constexpr std::int64_t kGpuTileRows = 128;
/// Matrix units of a GPU are fast on rows of whole 16 bytes, whatever the vocabulary's size.
constexpr std::int64_t kRowElements = 8;

}  // namespace

Shape logits_buffer(const Device& device, std::int64_t rows, std::int64_t vocab_size, int tp,
                    std::int64_t columns) {
  const bool gpu = device.stands_for() == DeviceKind::cuda;
  // Equal on all ranks of tp, because each chunk is reduced over tp. The ranks' shards of the
  // vocabulary may differ by a few rows.
  const std::int64_t widest = (vocab_size + tp - 1) / tp;
  const std::int64_t fit = (gpu ? kGpuChunkElements : kChunkElements) / widest;
  const std::int64_t whole = gpu ? std::max(fit / kGpuTileRows, std::int64_t{1}) * kGpuTileRows
                                 : std::max(kMinChunkRows, fit);
  const std::int64_t stride =
      gpu ? (columns + kRowElements - 1) / kRowElements * kRowElements : columns;
  return {std::min(rows, whole), stride};
}

Head::Head(const ModelConfig& config, const TensorParallel& tp, Parameter* shared, bool alone)
    : tp_(tp),
      in_(tp.in()),
      alone_(alone),
      weight_(&own_),
      smoothing_{config.label_smoothing, std::max<std::int64_t>(config.vocab_size, 1)},
      cap_(config.output_logit_softcap),
      factor_(config.output_factor()) {
  if (!config.ties_output()) {
    own_ = vocabulary_parameter("embed_out.weight", config, tp);
  } else if (shared != nullptr) {
    weight_ = shared;
  } else {
    own_ = token_embedding(config, tp, ParameterRole::tied_copy);
  }
  if (!config.use_bias_in_output) return;
  bias_.emplace();
  bias_->name = "embed_out.bias";
  bias_->global_shape = Shape{config.vocab_size};
  bias_->box = Box(Shape{weight_->box.offset[0]}, Shape{weight_->box.extent[0]});
  bias_->init = InitMethod::zeros;
  bias_->decay = false;
  bias_->sharded_over = {Axis::tp};
}

void Head::visit(const ParameterVisitor& f) {
  f(*weight_);
  if (bias_) f(*bias_);
}

void Head::logits_into(const Exec& ex, const ConstView& x, const View& logits) const {
  ops::gemm_into(ex, {.a = x,
                      .b = weight_->value,
                      .op_b = Op::t,
                      .c = logits,
                      .alpha = factor_,
                      .bias = bias_ ? ConstView(bias_->value) : ConstView()});
  if (cap_ > 0) ops::softcap(ex, {.cap = cap_, .x = logits, .y = logits});
}

Tensor Head::forward(const Exec& ex, const Tensor& x, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  const Tensor all = in_.forward(ex, x);
  const View weight = weight_->value;
  const Tensor buffer =
      ex.make(all.dtype(), logits_buffer(ex.device, all.rows(), weight_->global_shape[0],
                                         tp_.size(), weight.rows()));
  const std::int64_t step = buffer.rows();
  const bool passes = mb.training && !alone_;
  Tensor dx = passes ? ex.make(all.dtype(), all.shape()) : Tensor();
  const View targets = mb.targets.view().reshape(Shape{mb.rows(), 1});
  for (std::int64_t at = 0; at < all.rows(); at += step) {
    const std::int64_t n = std::min(step, all.rows() - at);
    const View part = buffer.view().slice_rows(0, n).slice_cols(0, weight.rows());
    const View input = all.view().slice_rows(at, n);
    logits_into(ex, input, part);
    Tensor capped;
    if (mb.training && cap_ > 0) {  // the loss overwrites logits
      capped = ex.make(all.dtype(), Shape{n, weight.rows()});
      ops::copy(ex, part, capped);
    }
    keep_class_logits(ex, {mb, tp_, weight_->box.offset[0]}, part, at);
    target_loss(ex, {mb, tp_, weight_->box.offset[0], smoothing_}, part,
                targets.slice_rows(at, n));
    if (!mb.training) continue;
    if (capped.defined()) {
      ops::softcap_gradient(ex, {.cap = cap_, .y = capped, .dy = part, .dx = part});
    }
    if (bias_ && bias_->trains) ops::accumulate_rows(ex, part, bias_->grad);
    if (weight_->trains) {
      ops::gemm_into(ex, {.a = part,
                          .op_a = Op::t,
                          .b = input,
                          .c = weight_->grad,
                          .alpha = factor_,
                          .beta = 1});
    }
    if (!passes) continue;
    ops::gemm_into(
        ex, {.a = part, .b = weight, .c = dx.view().slice_rows(at, n), .alpha = factor_});
  }
  share_class_logits({mb, tp_, weight_->box.offset[0]});
  if (passes) tape.put(dx);
  return {};
}

Tensor Head::backward(const Exec& ex, const Tensor&, Tape& tape) {
  return alone_ ? Tensor() : in_.backward(ex, tape.take());
}

Tensor Head::logits(const Exec& ex, const Tensor& x) const {
  const Tensor all = in_.forward(ex, x);
  Tensor y = ex.make(accumulator_type(all.dtype()), Shape{all.rows(), weight_->value.rows()});
  logits_into(ex, all, y);
  return y;
}

Tensor Head::score(const Exec& ex, const Tensor& x, const ConstView& targets) const {
  const Tensor all = in_.forward(ex, x);
  const View weight = weight_->value;
  const DType type = accumulator_type(all.dtype());
  const std::int64_t rows = all.rows();
  const Tensor buffer = ex.make(type, logits_buffer(ex.device, rows, weight_->global_shape[0],
                                                    tp_.size(), weight.rows()));
  Tensor sums = ex.make(type, Shape{2, rows});
  const Tensor max = ex.make(type, Shape{rows});
  const View sum = sums.view().slice_rows(0, 1);
  const View picked = sums.view().slice_rows(1, 1);
  const View tops = max.view().reshape(Shape{1, rows});
  const ConstView wanted = targets.reshape(Shape{1, rows});
  const std::int64_t first = weight_->box.offset[0];
  for (std::int64_t at = 0; at < rows; at += buffer.rows()) {
    const std::int64_t n = std::min(buffer.rows(), rows - at);
    const View part = buffer.view().slice_rows(0, n).slice_cols(0, weight.rows());
    logits_into(ex, all.view().slice_rows(at, n), part);
    ops::softmax_local(ex, {.logits = part,
                            .targets = wanted.slice_cols(at, n),
                            .first_column = first,
                            .max = tops.slice_cols(at, n),
                            .sum = sum.slice_cols(at, n),
                            .picked = picked.slice_cols(at, n)});
  }
  const Tensor global_max = ex.make(type, Shape{rows});
  ex.device.copy(global_max.view().raw(), max.view().raw(), max.view().bytes(), ex.stream);
  if (tp_.size() > 1) tp_.comm->all_reduce(global_max, Reduction::max);
  ops::softmax_rescale(ex, {.global_max = global_max,
                            .targets = wanted,
                            .first_column = first,
                            .columns = weight.rows(),
                            .max = max,
                            .sum = sum,
                            .picked = picked});
  if (tp_.size() > 1) tp_.comm->all_reduce(sums, Reduction::sum);
  return sums;
}

}  // namespace trireme
