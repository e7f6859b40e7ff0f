// SPDX-License-Identifier: Apache-2.0
// A multilayer perceptron for images.
#include "perceptron.hpp"

#include <array>

#include "trireme/comm/communicator.hpp"
#include "trireme/model/transformer.hpp"
#include "trireme/ops/activation.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/embedding.hpp"

#include "head.hpp"

namespace trireme {

ModelConfig perceptron_config(const std::vector<std::int64_t>& sizes, Activation activation,
                              double dropout) {
  TRM_CHECK(sizes.size() >= 2, "a perceptron of {} widths", sizes.size());
  ModelConfig m;
  m.mlp_sizes = sizes;
  m.task = Task::image_classification;
  m.num_layers = std::ssize(sizes) - 1;
  m.hidden_size = sizes[sizes.size() - 2];
  m.vocab_size = sizes.back();
  m.num_attention_heads = m.num_kv_heads = 1;
  m.seq_length = m.max_position_embeddings = 1;
  m.intermediate_size = 4 * m.hidden_size;
  m.pos_emb = PositionEmbedding::none;
  m.no_weight_tying = true;
  m.use_bias_in_output = true;
  m.activation = activation;
  m.hidden_dropout = dropout;
  return m;
}

Tensor pixel_values(const Exec& ex, DType dtype, double mean, double std) {
  constexpr std::int64_t kValues = 256;
  std::array<float, kValues> values{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((static_cast<double>(i) / 255 - mean) / std);
  }
  const Tensor table = ex.make(DType::f32, Shape{kValues, 1});
  ex.device.copy_from_host(table.view().raw(), values.data(), sizeof values, ex.stream);
  Tensor typed = ex.make(dtype, Shape{kValues, 1});
  ops::cast(ex, table, typed);
  ex.stream.synchronize();  // the copy reads `values`
  return typed;
}

Tensor PixelInput::forward(const Exec& ex, const Tensor&, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  Tensor y = ex.make(bytes_.dtype(), Shape{mb.rows(), inputs_});
  ops::embedding_forward(ex, {.ids = mb.tokens,
                              .table = bytes_,
                              .first_row = 0,
                              .y = y.view().reshape(Shape{mb.rows() * inputs_, 1})});
  return y;
}

PerceptronLayer::PerceptronLayer(std::int64_t layer, const ModelConfig& config,
                                 const TensorParallel& tp)
    : name_(fmt::format("layers.{}", layer)),
      is_first_(layer == 0),
      activation_(config.activation),
      dropout_(config.hidden_dropout),
      tp_(tp.size() > 1 ? tp.comm : nullptr),
      inputs_(config.mlp_sizes[static_cast<std::size_t>(layer)]),
      mine_(shard_rows(inputs_, tp.rank(), tp.size())),
      linear_(name_, Linear::Sharding::row,
              {inputs_, config.mlp_sizes[static_cast<std::size_t>(layer) + 1]}, true,
              InitMethod::kaiming_uniform, tp) {}

Dropout PerceptronLayer::dropout(const Exec& ex, const MicroBatch& mb) const {
  return {.probability = mb.training ? dropout_ : 0,
          .key = {ex.seed, stream_of(name_ + ".dropout")},
          .first_row = mb.first_row()};
}

Tensor PerceptronLayer::forward(const Exec& ex, const Tensor& x, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  const View mine = x.view().slice_cols(mine_.offset, mine_.extent);
  const Tensor before = linear_.forward(ex, mine, mb);
  if (tp_ != nullptr) tp_->all_reduce(before, Reduction::sum);
  tape.put(x);
  tape.put(before);
  Tensor y = ex.make(x.dtype(), before.shape());
  ops::activation_forward(ex, {.kind = activation_, .x = before, .y = y});
  const Dropout spec = dropout(ex, mb);
  if (spec.probability > 0) ops::apply_dropout(ex, {.x = y, .dropout = spec, .y = y});
  return y;
}

Tensor PerceptronLayer::backward(const Exec& ex, const Tensor& dy, Tape& tape) {
  const MicroBatch& mb = tape.micro_batch();
  const Tensor before = tape.take();
  const Tensor x = tape.take();
  const Tensor d = ex.make(dy.dtype(), dy.shape());
  const Dropout spec = dropout(ex, mb);
  if (spec.probability > 0) ops::apply_dropout(ex, {.x = dy, .dropout = spec, .y = d});
  ops::activation_backward(ex, {.kind = activation_,
                                .x = before,
                                .dy = spec.probability > 0 ? ConstView(d) : ConstView(dy),
                                .dx = before});
  linear_.accumulate_gradients(ex, before, x.view().slice_cols(mine_.offset, mine_.extent), mb);
  if (is_first_) return {};
  if (tp_ == nullptr) return linear_.input_gradient(ex, before, mb);
  const Tensor mine = linear_.input_gradient(ex, before, mb);
  Tensor dx = ex.zeros(x.dtype(), x.shape());
  ops::copy(ex, mine, dx.view().slice_cols(mine_.offset, mine_.extent));
  tp_->all_reduce(dx, Reduction::sum);  // each rank adds its columns to the others' zeros
  return dx;
}

std::unique_ptr<Module> make_classifier(const ModelConfig& config, const TensorParallel& tp,
                                        bool alone) {
  auto head = std::make_unique<Head>(config, tp, nullptr, alone);
  head->visit([&](Parameter& p) {
    const bool is_weight = p.global_shape.rank() == 2;
    p.name =
        fmt::format("layers.{}.{}", config.mlp_sizes.size() - 2, is_weight ? "weight" : "bias");
    if (is_weight) p.init = InitMethod::kaiming_uniform;
  });
  return head;
}

}  // namespace trireme
