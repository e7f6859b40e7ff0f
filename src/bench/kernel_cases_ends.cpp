// SPDX-License-Identifier: Apache-2.0
// Cases for kernels outside the layers: embedding, loss, update and copies. The arrays of all
// cases are made here too.
#include <algorithm>
#include <cmath>

#include "trireme/model/transformer.hpp"
#include "trireme/ops/cross_entropy.hpp"
#include "trireme/ops/eight_bit.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/embedding.hpp"
#include "trireme/ops/gemm.hpp"
#include "trireme/ops/step_state.hpp"
#include "trireme/optim/optimizer_table.hpp"

#include "kernel_cases.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kPool = 1 << 22;
constexpr std::int64_t kCopied = 1 << 28;
constexpr RngKey kKey = {.seed = 1, .stream = stream_of("bench")};

}  // namespace

KernelCases::KernelCases(const Exec& ex, const Deck& deck)
    : ex_(ex),
      deck_(deck),
      model_(deck.model),
      type_(deck.types.compute),
      sums_(accumulator_type(deck.types.compute)),
      grad_(deck.types.gradient),
      micro_(deck.gradient_accumulation_steps),
      layers_(micro_ * deck.model.num_layers),
      rows_(deck.train_micro_batch_size_per_gpu * deck.model.seq_length),
      h_(deck.model.hidden_size),
      pool_(ex.make(DType::f32, Shape{kPool})) {
  std::vector<float> host(kPool);
  for (std::size_t i = 0; i < host.size(); i += 4) {
    const auto words = philox(kKey, i);
    for (std::size_t j = 0; j < words.size(); ++j) {
      host[i + j] = static_cast<float>(unit_interval(words[j]) - 0.5);
    }
  }
  upload(host.data(), pool_);
  linears();
  attention();
  rotary();
  qk_norms();
  factors();
  norms();
  activations();
  sums();
  embedding();
  head();
  update();
  copies();
}

void KernelCases::add(const char* group, const std::string& name, std::int64_t calls,
                      double operations, double bytes, std::function<Run()> make) {
  cases_.push_back({group, name, calls, operations, bytes, std::move(make)});
}

void KernelCases::upload(const void* host, const Tensor& to) const {
  ex_.device.copy_from_host(to.view().raw(), host, to.view().bytes(), ex_.stream);
  ex_.stream.synchronize();
}

Tensor KernelCases::random(DType type, const Shape& shape) const {
  Tensor t = ex_.make(type, shape);
  const View flat = t.view().reshape(Shape{t.count()});
  for (std::int64_t at = 0; at < t.count(); at += kPool) {
    const std::int64_t n = std::min(kPool, t.count() - at);
    ops::cast(ex_, pool_.view().slice_cols(0, n), flat.slice_cols(at, n));
  }
  return t;
}

Tensor KernelCases::random(std::int64_t rows, std::int64_t cols) const {
  return random(type_, Shape{rows, cols});
}

Tensor KernelCases::ones(DType type, std::int64_t n) const {
  const std::vector<float> host(static_cast<std::size_t>(n), 1.0F);
  const Tensor wide = ex_.make(DType::f32, Shape{n});
  upload(host.data(), wide);
  Tensor t = ex_.make(type, Shape{n});
  ops::cast(ex_, wide, t);
  return t;
}

Tensor KernelCases::random_ids(std::int64_t n) const {
  std::vector<std::int32_t> host(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < host.size(); ++i) {
    const double part = unit_interval(philox(kKey, i, 1)[0]);
    host[i] = static_cast<std::int32_t>(part * static_cast<double>(model_.vocab_size));
  }
  Tensor ids = ex_.make(DType::i32, Shape{n});
  upload(host.data(), ids);
  return ids;
}

AttentionShape KernelCases::heads() const {
  return {.batch = deck_.train_micro_batch_size_per_gpu,
          .seq = model_.seq_length,
          .kv_heads = model_.num_kv_heads,
          .queries_per_kv = model_.num_attention_heads / model_.num_kv_heads,
          .head_dim = model_.head_dim()};
}

Dropout KernelCases::dropout(double probability) const {
  return {.probability = probability, .key = {ex_.seed, kKey.stream}};
}

double KernelCases::bytes(std::int64_t count, DType type) {
  return static_cast<double>(count) * static_cast<double>(size_of(type));
}

void KernelCases::embedding() {
  const std::int64_t v = model_.vocab_size;
  const std::int64_t n = rows_ * h_;
  // Expected number of table rows that as many random ids select.
  const double met =
      static_cast<double>(v) *
      -std::expm1(static_cast<double>(rows_) * std::log1p(-1.0 / static_cast<double>(v)));
  const auto part = static_cast<std::int64_t>(met) * h_;
  add("embedding", "embedding", micro_, 0, bytes(part + n), [this, v]() -> Run {
    const Tensor ids = random_ids(rows_);
    const Tensor table = random(v, h_);
    const Tensor y = ex_.make(type_, Shape{rows_, h_});
    return [=, this] {
      ops::embedding_forward(ex_, {.ids = ids, .table = table, .first_row = 0, .y = y});
    };
  });
  add("embedding", "embedding, gradient", micro_, 0, bytes(n) + 2 * bytes(part, grad_),
      [this, v]() -> Run {
        const Tensor ids = random_ids(rows_);
        const Tensor dy = random(rows_, h_);
        const Tensor dtable = ex_.zeros(grad_, Shape{v, h_});
        return [=, this] {
          ops::embedding_backward(ex_,
                                  {.ids = ids, .dy = dy, .first_row = 0, .dtable = dtable});
        };
      });
  if (model_.pos_emb == PositionEmbedding::learned) positions();
}

void KernelCases::positions() {
  const std::int64_t n = rows_ * h_;
  const std::int64_t table = model_.seq_length * h_;
  add("embedding", "positions", micro_, 0, bytes(table + 2 * n), [this]() -> Run {
    const Tensor values = random(model_.max_position_embeddings, h_);
    const Tensor y = random(rows_, h_);
    return [=, this] {
      ops::positions_forward(
          ex_, {.table = values, .seq = model_.seq_length, .first_row = 0, .y = y});
    };
  });
  add("embedding", "positions, gradient", micro_, 0, bytes(n) + 2 * bytes(table, grad_),
      [this]() -> Run {
        const Tensor dy = random(rows_, h_);
        const Tensor sums = ex_.zeros(grad_, Shape{model_.max_position_embeddings, h_});
        return [=, this] {
          ops::positions_backward(
              ex_, {.dy = dy, .seq = model_.seq_length, .first_row = 0, .dtable = sums});
        };
      });
}

View KernelCases::logits(const Tensor& buffer) const {
  return buffer.view().slice_cols(0, model_.vocab_size);
}

void KernelCases::head() {
  const std::int64_t v = model_.vocab_size;
  const Shape chunk = logits_buffer(ex_.device, rows_, v, 1, v);
  const std::int64_t n = chunk.rows();
  const std::int64_t calls = micro_ * ((rows_ + n - 1) / n);
  const double operations = 2.0 * static_cast<double>(n * h_ * v);
  const auto arrays = [this, n, v, chunk] {
    return std::array<Tensor, 3>{random(n, h_), random(v, h_), random(type_, chunk)};
  };
  add("head", "logits", calls, operations, bytes(n * h_ + v * h_ + n * v),
      [this, arrays]() -> Run {
        return [this, a = arrays()] {
          ops::gemm_into(ex_, {.a = a[0], .b = a[1], .op_b = Op::t, .c = logits(a[2])});
        };
      });
  add("head", "logits, input gradient", calls, operations, bytes(n * h_ + v * h_ + n * v),
      [this, arrays]() -> Run {
        return [this, a = arrays()] {
          ops::gemm_into(ex_, {.a = logits(a[2]), .b = a[1], .c = a[0]});
        };
      });
  add("head", "logits, weight gradient", calls, operations,
      bytes(n * h_ + n * v) + 2 * bytes(v * h_, grad_), [this, n, v, chunk]() -> Run {
        const Tensor x = random(n, h_);
        const Tensor dy = random(type_, chunk);
        const Tensor dweight = ex_.zeros(grad_, Shape{v, h_});
        return [=, this] {
          ops::gemm_into(ex_,
                         {.a = logits(dy), .op_a = Op::t, .b = x, .c = dweight, .beta = 1});
        };
      });
  cross_entropy(chunk, calls);
}

void KernelCases::cross_entropy(const Shape& chunk, std::int64_t calls) {
  const std::int64_t v = model_.vocab_size;
  const std::int64_t rows = chunk.rows();
  // Arrays with one value a row: targets, maxima, sums, and the targets' logits.
  const auto columns = [this, rows] {
    return std::array<Tensor, 4>{random_ids(rows), ones(sums_, rows), ones(sums_, rows),
                                 ones(sums_, rows)};
  };
  add("cross entropy", "loss and gradient", calls, 0,
      bytes(2 * rows * v) + bytes(7 * rows, sums_), [this, chunk, columns]() -> Run {
        const Tensor total = ex_.zeros(DType::f64, Shape{1});
        const Tensor counted = ex_.zeros(DType::f64, Shape{1});
        return [=, this, c = columns(), z = random(type_, chunk)] {
          ops::softmax_loss_gradient(ex_, {.logits = logits(z),
                                           .targets = c[0],
                                           .max = c[1],
                                           .sum = c[2],
                                           .picked = c[3],
                                           .total = total,
                                           .counted = counted,
                                           .scale = 1});
        };
      });
}

void KernelCases::update_by(const OptimizerRow& row) {
  const std::int64_t n = count_parameters(model_);
  const PrecisionConfig& t = deck_.types;
  const bool copies = t.master != t.compute;
  const OptimizerConfig& config = deck_.optimizer;
  const std::size_t arrays = row.state_arrays(config).size();
  add("update", std::string(row.name), 1, 0,
      bytes(n, t.gradient) + 2 * bytes(n, t.master) +
          2 * static_cast<double>(arrays * static_cast<std::size_t>(n)) *
              bytes_of_state(config, t.moments) +
          (copies ? bytes(n, t.compute) : 0),
      [this, n, t, copies, arrays, &config, &row]() -> Run {
        const Tensor gradient = random(t.gradient, Shape{n});
        const Tensor value = random(t.master, Shape{n});
        std::vector<Tensor> state;
        for (std::size_t i = 0; i < arrays; ++i) {
          state.push_back(ex_.zeros(config.eight_bit ? DType::u8 : t.moments, Shape{n}));
          const std::int64_t blocks = (n + eight_bit::kBlock - 1) / eight_bit::kBlock;
          if (config.eight_bit) state.push_back(ex_.zeros(DType::f32, Shape{blocks}));
        }
        const Tensor copy = copies ? ex_.make(t.compute, Shape{n}) : Tensor();
        const Tensor decision = ex_.make(DType::f64, Shape{StepState::kSlots});
        StepState decided;
        decided.factor = 0.5;
        decided.updated = 1;
        decided.updates = 10;
        decided.bias1 = 1 - std::pow(config.beta1, 10);
        decided.bias2 = 1 - std::pow(config.beta2, 10);
        upload(&decided, decision);
        return [=, this, &config, &row] {
          row.update(ex_, config, 1e-3, config.weight_decay,
                     {.gradient = gradient,
                      .value = value,
                      .state = {state.begin(), state.end()},
                      .copy = copy.defined() ? copy.view() : View(),
                      .decision = decision.view()});
        };
      });
}

void KernelCases::update() {
  const std::int64_t n = count_parameters(model_);
  const PrecisionConfig& t = deck_.types;
  const OptimizerRow& row = optimizer_row(deck_.optimizer.kind);
  if (row.update != nullptr) update_by(row);
  add("update", "sum of squares", 1, 0, bytes(n, t.gradient), [this, n, t]() -> Run {
    const Tensor gradient = random(t.gradient, Shape{n});
    const Tensor total = ex_.zeros(DType::f64, Shape{1});
    return [=, this] { ops::accumulate_squares(ex_, gradient, total); };
  });
  add("update", "gradients to zero", 1, 0, bytes(n, t.gradient), [this, n, t]() -> Run {
    const Tensor gradient = ex_.make(t.gradient, Shape{n});
    return [=, this] {
      ex_.device.zero(gradient.view().raw(), gradient.view().bytes(), ex_.stream);
    };
  });
}

void KernelCases::copies() {
  const std::int64_t n = std::min(kCopied, rows_ * model_.vocab_size);
  add("copies", fmt::format("fp32 to {}", name_of(type_)), 0, 0,
      bytes(n, DType::f32) + bytes(n), [this, n]() -> Run {
        const Tensor x = random(DType::f32, Shape{n});
        const Tensor y = ex_.make(type_, Shape{n});
        return [=, this] { ops::cast(ex_, x, y); };
      });
  add("copies", "copy by the device", 0, 0, 2 * bytes(n), [this, n]() -> Run {
    const Tensor x = random(type_, Shape{n});
    const Tensor y = ex_.make(type_, Shape{n});
    return [=, this] {
      ex_.device.copy(y.view().raw(), x.view().raw(), x.view().bytes(), ex_.stream);
    };
  });
}

}  // namespace trireme
