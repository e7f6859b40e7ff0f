// SPDX-License-Identifier: Apache-2.0
// Norms of queries and keys over ranks of tp.
#include "qk_normalization.hpp"

#include "scratch_gradients.hpp"

namespace trireme {

QkNormalization::Part QkNormalization::make(const std::string& name, const ModelConfig& config,
                                            const TensorParallel& tp, std::int64_t heads) {
  const bool rows = config.qk_norm == QkNorm::row;
  const std::int64_t entries = (rows ? heads : 1) * config.head_dim();
  const auto parameter = [&](const char* part, InitMethod init) {
    const RowRange share =
        rows ? shard_rows(entries, tp.rank(), tp.size()) : RowRange{0, entries};
    Parameter p;
    p.name = name + part;
    p.global_shape = Shape{entries};
    p.box = Box(Shape{share.offset}, Shape{share.extent});
    p.init = init;
    p.decay = false;
    if (rows) {
      p.sharded_over = {Axis::tp};
    } else if (tp.size() > 1) {
      p.sum_over = {Axis::tp};
    }
    return p;
  };
  Part made{parameter(".weight", config.layernorm_1p ? InitMethod::zeros : InitMethod::ones),
            std::nullopt};
  if (config.norm == Norm::layernorm && config.use_bias_in_norms) {
    made.bias = parameter(".bias", InitMethod::zeros);
  }
  return made;
}

QkNormalization::QkNormalization(const std::string& name, const ModelConfig& config,
                                 const TensorParallel& tp)
    : rule_{.shape = {},
            .kind = config.norm,
            .epsilon = config.norm_epsilon,
            .weight_offset = config.layernorm_1p ? 1.0 : 0.0,
            .rows = config.qk_norm == QkNorm::row,
            .ranks = tp.size()},
      tp_(tp),
      queries_(make(name + ".q_norm", config, tp, config.num_attention_heads)),
      keys_(make(name + ".k_norm", config, tp, config.num_kv_heads)) {}

ops::QkNormRule QkNormalization::rule(const AttentionShape& shape) const {
  ops::QkNormRule r = rule_;
  r.shape = shape;
  return r;
}

Tensor QkNormalization::sums_of(const Exec& ex, const ops::QkNormSums& op) const {
  ops::QkNormSums all = op;
  Tensor sums = ex.make(accumulator_type(op.qkv.dtype()),
                        Shape{op.qkv.rows(), 2 * op.norm.layout().norms()});
  all.sums = sums;
  ops::qk_norm_sums(ex, all);
  if (rule_.rows && tp_.size() > 1) tp_.comm->all_reduce(sums, Reduction::sum);
  return sums;
}

Tensor QkNormalization::forward(const Exec& ex, const AttentionShape& shape, const Tensor& qkv,
                                Tensor& sums) const {
  sums = sums_of(ex, {.norm = rule(shape), .qkv = qkv, .sums = {}});
  Tensor y = ex.make(qkv.dtype(), qkv.shape());
  ops::qk_norm_forward(ex, {.norm = rule(shape),
                            .qkv = qkv,
                            .sums = sums,
                            .q_weight = queries_.weight.value,
                            .k_weight = keys_.weight.value,
                            .q_bias = queries_.bias_value(),
                            .k_bias = keys_.bias_value(),
                            .y = y});
  return y;
}

void QkNormalization::backward(const Exec& ex, const AttentionShape& shape, const Tensor& qkv,
                               const Tensor& sums, const Tensor& dqkv) {
  const Tensor slopes = sums_of(ex, {.norm = rule(shape),
                                     .qkv = qkv,
                                     .dy = dqkv,
                                     .q_weight = queries_.weight.value,
                                     .k_weight = keys_.weight.value,
                                     .sums = {}});
  ScratchGradients gradients(ex, qkv.dtype());
  const auto of_bias = [&](const Part& part) {
    return part.bias ? gradients.of(*part.bias) : View();
  };
  ops::qk_norm_backward(ex, {.norm = rule(shape),
                             .qkv = qkv,
                             .sums = sums,
                             .slopes = slopes,
                             .q_weight = queries_.weight.value,
                             .k_weight = keys_.weight.value,
                             .dqkv = dqkv,
                             .dq_weight = gradients.of(queries_.weight),
                             .dk_weight = gradients.of(keys_.weight),
                             .dq_bias = of_bias(queries_),
                             .dk_bias = of_bias(keys_)});
}

void QkNormalization::visit(const ParameterVisitor& f) {
  for (Part* n : {&queries_, &keys_}) {
    f(n->weight);
    if (n->bias) f(*n->bias);
  }
}

}  // namespace trireme
