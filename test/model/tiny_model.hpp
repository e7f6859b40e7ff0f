// SPDX-License-Identifier: Apache-2.0
// Models small enough for finite differences. Every mesh draws equal values, which are keyed by
// name and index in the global array.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trireme/backend/cpu.hpp"
#include "trireme/core/random.hpp"
#include "trireme/model/transformer.hpp"

#include "parameter_store.hpp"

namespace trireme::test {

inline ModelConfig tiny_config() {
  ModelConfig c;
  c.num_layers = 2;
  c.hidden_size = 16;
  c.num_attention_heads = 4;
  c.num_kv_heads = 4;
  c.seq_length = 8;
  c.max_position_embeddings = 8;
  c.vocab_size = 37;
  c.intermediate_size = 24;
  c.pos_emb = PositionEmbedding::rotary;
  c.rotary_pct = 0.5;
  c.no_weight_tying = true;
  return c;
}

/// Uniform in (−1, 1).
inline double noise(const std::string& name, std::int64_t element, std::uint64_t seed) {
  const auto words =
      philox({seed, stream_of("noise of " + name)}, static_cast<std::uint64_t>(element));
  return 2 * unit_interval(words[0]) - 1;
}

/// Calls f(index in p's own array, index in the global array) for each element that p holds.
inline void for_each_element(const Parameter& p,
                             const std::function<void(std::size_t, std::int64_t)>& f) {
  TRM_CHECK(p.global_shape.rank() <= 2, "{} of rank {}", p.name, p.global_shape.rank());
  const int last = p.global_shape.rank() - 1;
  std::size_t at = 0;
  for (std::int64_t r = 0; r < p.box.extent.rows(); ++r) {
    const std::int64_t row = last > 0 ? p.box.offset[0] + r : 0;
    for (std::int64_t c = 0; c < p.box.extent.cols(); ++c) {
      f(at++, row * p.global_shape.cols() + p.box.offset[last] + c);
    }
  }
}

/// Reads element i of an fp64 or fp32 window.
inline double get(const ConstView& v, std::size_t i) {
  return v.dtype() == DType::f64 ? v.data<double>()[i]
                                 : static_cast<double>(v.data<float>()[i]);
}
inline void set(const View& v, std::size_t i, double x) {
  if (v.dtype() == DType::f64) {
    v.data<double>()[i] = x;
  } else {
    v.data<float>()[i] = static_cast<float>(x);
  }
}

/// Draws values far enough from 0 and 1 that every term of a gradient is large enough to see.
inline void randomize_values(const ParameterStore& store) {
  for (const Parameter* p : store.parameters()) {
    const double base = p->init == InitMethod::ones ? 1 : 0;
    for_each_element(*p, [&](std::size_t i, std::int64_t global) {
      set(p->value, i, base + 0.4 * noise(p->name, global, 1));
    });
  }
}

/// Samples [first, first + n) of `total`: any tokens. The gradient is that of the mean over all
/// samples.
inline MicroBatch tiny_batch(const Exec& ex, const ModelConfig& config, std::int64_t first,
                             std::int64_t n, std::int64_t total) {
  MicroBatch mb;
  mb.batch = n;
  mb.seq = config.seq_length;
  mb.first_sample = static_cast<std::uint64_t>(first);
  mb.loss_weight = 1.0 / static_cast<double>(total * config.seq_length);
  mb.tokens = ex.make(DType::i32, Shape{mb.rows()});
  mb.targets = ex.make(DType::i32, Shape{mb.rows()});
  mb.loss_sum = ex.zeros(DType::f64, Shape{3});
  const auto token = [&](std::int64_t place) {
    const double u = (noise("tokens", place, 2) + 1) / 2;
    return static_cast<std::int32_t>(u * static_cast<double>(config.vocab_size));
  };
  for (std::int64_t i = 0; i < mb.rows(); ++i) {
    const std::int64_t sample = first + i / mb.seq;
    const std::int64_t place = sample * (mb.seq + 1) + i % mb.seq;
    mb.tokens.data<std::int32_t>()[i] = token(place);
    mb.targets.data<std::int32_t>()[i] = token(place + 1);
  }
  return mb;
}

/// A CPU to compute on.
struct TinyExec {
  std::unique_ptr<Device> device = make_cpu_device();
  std::unique_ptr<Kernels> kernels = make_cpu_kernels();
  std::unique_ptr<Stream> stream = device->make_stream();
  Exec ex{*device, *kernels, *stream, 99};
};

/// A whole model on the ranks of `tp`.
struct TinyModel {
  TinyModel(const Exec& exec, const ModelConfig& c, DType dtype, const TensorParallel& cut,
            const RecomputeConfig& recompute = {})
      : ex(exec), config(c), tp(cut) {
    const auto units = static_cast<int>(list_units(config).size());
    parts.push_back(std::make_unique<ModelPart>(ex, dtype, config, tp, 0, units, recompute));
    store = std::make_unique<ParameterStore>(ex, dtype, list_parameters(parts));
    randomize_values(*store);
  }

  /// Mean loss of `total` samples in micro-batches of `each`, as in training.
  [[nodiscard]] double loss(std::int64_t total, std::int64_t each, bool training = true) const {
    double sum = 0;
    for (std::int64_t first = 0; first < total; first += each) {
      MicroBatch mb = tiny_batch(ex, config, first, each, total);
      mb.training = training;
      mb.layer_keep = layer_keep;
      Tape tape(mb);
      (void)parts[0]->forward(ex, {}, tape);
      sum += *mb.loss_sum.data<double>() * mb.loss_weight;
    }
    return sum;
  }

  /// Loss of one sample.
  [[nodiscard]] double loss_of(std::int64_t sample) const {
    MicroBatch mb = tiny_batch(ex, config, sample, 1, 1);
    mb.layer_keep = layer_keep;
    Tape tape(mb);
    (void)parts[0]->forward(ex, {}, tape);
    return *mb.loss_sum.data<double>() * mb.loss_weight;
  }

  /// Leaves the whole gradient in each parameter's `grad`; returns the loss.
  double gradient(std::int64_t total, std::int64_t each) const {
    store->zero_gradients(ex);
    double sum = 0;
    for (std::int64_t first = 0; first < total; first += each) {
      MicroBatch mb = tiny_batch(ex, config, first, each, total);
      mb.layer_keep = layer_keep;
      Tape tape(mb);
      (void)parts[0]->forward(ex, {}, tape);
      (void)parts[0]->backward(ex, {}, tape);
      sum += *mb.loss_sum.data<double>() * mb.loss_weight;
    }
    for (const Parameter* p : store->parameters()) {
      if (p->sum_over.has(Axis::tp)) tp.comm->all_reduce(p->grad, Reduction::sum);
    }
    return sum;
  }

  const Exec& ex;
  ModelConfig config;
  TensorParallel tp;
  std::vector<std::unique_ptr<ModelPart>> parts;
  std::unique_ptr<ParameterStore> store;
  double layer_keep = 1;  ///< as in MicroBatch
};

}  // namespace trireme::test
