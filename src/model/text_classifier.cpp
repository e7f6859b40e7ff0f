// SPDX-License-Identifier: Apache-2.0
// Classifies texts.
#include "text_classifier.hpp"

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/embedding.hpp"

#include "target_loss.hpp"

namespace trireme {

namespace {

constexpr double kTanh = 1;  // the cap with which a softcap is the hyperbolic tangent

}  // namespace

TextClassifier::TextClassifier(const ModelConfig& config, const TensorParallel& tp, bool alone)
    : tp_(tp),
      alone_(alone),
      dropout_(config.classifier_dropout),
      classes_("score", Linear::Sharding::column, {config.hidden_size, config.num_labels}, true,
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

void TextClassifier::visit(const ParameterVisitor& f) {
  if (pooler_) pooler_->visit(f);
  classes_.visit(f);
}

std::int64_t TextClassifier::first_row(const MicroBatch& mb) const {
  return tp_.rows_are_cut() ? tp_.local_rows(mb.rows()) * tp_.rank() : 0;
}

Tensor TextClassifier::chosen(const Exec& ex, const Tensor& x, const MicroBatch& mb) const {
  Tensor rows = ex.make(x.dtype(), Shape{mb.batch, x.cols()});
  ops::embedding_forward(
      ex, {.ids = mb.classifier_rows, .table = x, .first_row = first_row(mb), .y = rows});
  if (tp_.rows_are_cut()) tp_.comm->all_reduce(rows, Reduction::sum);  // others' are zeros
  return rows;
}

Dropout TextClassifier::dropout(const Exec& ex, const MicroBatch& mb) const {
  return {.probability = mb.training ? dropout_ : 0,
          .key = {ex.seed, stream_of("classifier.dropout")},
          .first_row = mb.first_sample};
}

Tensor TextClassifier::forward(const Exec& ex, const Tensor& x, Tape& tape) {
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
  const LossPlace whole{mb, TensorParallel{}};
  keep_class_logits(ex, whole, logits, 0);
  target_loss(ex, whole, logits, mb.targets.view().reshape(Shape{mb.batch, 1}));
  if (!mb.training) return {};
  const Tensor d = backward_to_rows(ex, logits, features, rows, pooled, mb);
  if (!alone_) tape.put(d);
  return {};
}

Tensor TextClassifier::backward_to_rows(const Exec& ex, const Tensor& logits,
                                        const Tensor& features, const Tensor& rows,
                                        const Tensor& pooled, const MicroBatch& mb) {
  Tensor d = classes_.backward(ex, logits, features, mb);
  const Dropout spec = dropout(ex, mb);
  if (spec.probability > 0) ops::apply_dropout(ex, {.x = d, .dropout = spec, .y = d});
  if (!pooler_) return d;
  ops::softcap_gradient(ex, {.cap = kTanh, .y = pooled, .dy = d, .dx = d});
  return pooler_->backward(ex, d, rows, mb);
}

Tensor TextClassifier::backward(const Exec& ex, const Tensor&, Tape& tape) {
  if (alone_) return {};
  const MicroBatch& mb = tape.micro_batch();
  const Tensor d = tape.take();
  Tensor dx = ex.zeros(d.dtype(), Shape{tp_.local_rows(mb.rows()), d.cols()});
  ops::embedding_backward(
      ex, {.ids = mb.classifier_rows, .dy = d, .first_row = first_row(mb), .dtable = dx});
  return dx;
}

}  // namespace trireme
