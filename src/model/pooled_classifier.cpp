// SPDX-License-Identifier: Apache-2.0
// Classifies samples by one row each.
#include "pooled_classifier.hpp"

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/embedding.hpp"
#include "trireme/ops/gemm.hpp"

#include "target_loss.hpp"

namespace trireme {

namespace {

constexpr double kTanh = 1;  // the cap with which a softcap is the hyperbolic tangent

}  // namespace

PooledClassifier::PooledClassifier(const ModelConfig& config, const TensorParallel& tp,
                                   bool alone)
    : tp_(tp),
      alone_(alone),
      takes_means_(config.classifier_row == ClassifierRow::mean),
      dropout_(config.classifier_dropout),
      smoothing_{config.label_smoothing, std::max<std::int64_t>(config.classes(), 1)},
      classes_("score", Linear::Sharding::column, {config.hidden_size, config.classes()}, true,
               config.init_method, TensorParallel{}) {
  if (config.classifier_pooler) {
    pooler_.emplace("pooler.dense", Linear::Sharding::column,
                    Linear::Extents{config.hidden_size, config.hidden_size}, true,
                    config.init_method, TensorParallel{});
  }
  visit([](Parameter& p) {
    p.role = ParameterRole::classifier;
    p.sharded_over = {};  // every rank of tp has the whole
  });
}

void PooledClassifier::visit(const ParameterVisitor& f) {
  if (pooler_) pooler_->visit(f);
  classes_.visit(f);
}

std::int64_t PooledClassifier::first_row(const MicroBatch& mb) const {
  return tp_.rows_are_cut() ? tp_.local_rows(mb.rows()) * tp_.rank() : 0;
}

Tensor PooledClassifier::chosen(const Exec& ex, const Tensor& x, const MicroBatch& mb) const {
  if (takes_means_) {
    Tensor rows = means(ex, x, mb);
    if (tp_.rows_are_cut()) tp_.comm->all_reduce(rows, Reduction::sum);
    return rows;
  }
  Tensor rows = ex.make(x.dtype(), Shape{mb.batch, x.cols()});
  ops::embedding_forward(
      ex, {.ids = mb.classifier_rows, .table = x, .first_row = first_row(mb), .y = rows});
  if (tp_.rows_are_cut()) tp_.comm->all_reduce(rows, Reduction::sum);  // others' are zeros
  return rows;
}

View PooledClassifier::own_samples(const MicroBatch& mb) const {
  return mb.samples_of_rows.view()
      .reshape(Shape{mb.rows(), 1})
      .slice_rows(first_row(mb), tp_.local_rows(mb.rows()))
      .reshape(Shape{tp_.local_rows(mb.rows())});
}

Tensor PooledClassifier::means(const Exec& ex, const Tensor& x, const MicroBatch& mb) const {
  const DType type = accumulator_type(x.dtype());
  const Tensor sums = ex.zeros(type, Shape{mb.batch, x.cols()});
  ops::embedding_backward(ex,
                          {.ids = own_samples(mb), .dy = x, .first_row = 0, .dtable = sums});
  Tensor factors = ex.make(type, mb.mean_factors.shape());
  ops::cast(ex, mb.mean_factors, factors);
  Tensor wide = ops::gemm(ex, {.a = factors, .b = sums});
  if (type == x.dtype()) return wide;
  Tensor rows = ex.make(x.dtype(), wide.shape());
  ops::cast(ex, wide, rows);
  return rows;
}

Dropout PooledClassifier::dropout(const Exec& ex, const MicroBatch& mb) const {
  return {.probability = mb.training ? dropout_ : 0,
          .key = {ex.seed, stream_of("classifier.dropout")},
          .first_row = mb.first_sample};
}

Tensor PooledClassifier::forward(const Exec& ex, const Tensor& x, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  const Tensor rows = chosen(ex, x, mb);
  Tensor pooled;
  if (pooler_) {
    pooled = pooler_->forward(ex, rows, mb);
    ops::softcap(ex, {.cap = kTanh, .x = pooled, .y = pooled});
  }
  Tensor features = pooler_ ? pooled : rows;
  const Dropout spec = dropout(ex, mb);
  if (spec.probability > 0) {
    features = ex.make(rows.dtype(), rows.shape());
    ops::apply_dropout(ex, {.x = pooler_ ? pooled : rows, .dropout = spec, .y = features});
  }
  const Tensor logits = classes_.forward(ex, features, mb);
  const LossPlace whole{mb, TensorParallel{}, 0, smoothing_};
  keep_class_logits(ex, whole, logits, 0);
  target_loss(ex, whole, logits, mb.targets.view().reshape(Shape{mb.batch, 1}));
  if (!mb.training) return {};
  const Tensor d = backward_to_rows(ex, logits, features, rows, pooled, mb);
  if (!alone_) tape.put(d);
  return {};
}

Tensor PooledClassifier::backward_to_rows(const Exec& ex, const Tensor& logits,
                                          const Tensor& features, const Tensor& rows,
                                          const Tensor& pooled, const MicroBatch& mb) {
  Tensor d = classes_.backward(ex, logits, features, mb);
  const Dropout spec = dropout(ex, mb);
  if (spec.probability > 0) ops::apply_dropout(ex, {.x = d, .dropout = spec, .y = d});
  if (!pooler_) return d;
  ops::softcap_gradient(ex, {.cap = kTanh, .y = pooled, .dy = d, .dx = d});
  return pooler_->backward(ex, d, rows, mb);
}

Tensor PooledClassifier::backward(const Exec& ex, const Tensor&, Tape& tape) {
  if (alone_) return {};
  const MicroBatch& mb = tape.micro_batch();
  const Tensor d = tape.take();
  if (takes_means_) {
    Tensor factors = ex.make(d.dtype(), mb.mean_factors.shape());
    ops::cast(ex, mb.mean_factors, factors);
    const Tensor shares = ops::gemm(ex, {.a = factors, .b = d});
    Tensor all = ex.make(d.dtype(), Shape{tp_.local_rows(mb.rows()), d.cols()});
    ops::embedding_forward(ex,
                           {.ids = own_samples(mb), .table = shares, .first_row = 0, .y = all});
    return all;
  }
  Tensor dx = ex.zeros(d.dtype(), Shape{tp_.local_rows(mb.rows()), d.cols()});
  ops::embedding_backward(
      ex, {.ids = mb.classifier_rows, .dy = d, .first_row = first_row(mb), .dtable = dx});
  return dx;
}

}  // namespace trireme
