// SPDX-License-Identifier: Apache-2.0
// The formulas of rotary frequencies.
#include "rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace trireme {

namespace {

std::vector<double> plain(double base, std::int64_t dims) {
  std::vector<double> list;
  for (std::int64_t i = 0; i < dims / 2; ++i) {
    list.push_back(std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(dims)));
  }
  return list;
}

double original_length(const RopeScaling& r) {
  return static_cast<double>(r.original_max_position_embeddings);
}

double dynamic_base(const ModelConfig& c) {
  const RopeScaling& r = c.rope_scaling;
  const double original = original_length(r);
  const double length = std::max(static_cast<double>(c.seq_length), original);
  const auto dims = static_cast<double>(c.rotary_dims());
  const double growth = r.factor * length / original - (r.factor - 1);
  return c.rotary_emb_base * std::pow(growth, dims / (dims - 2));
}

void scale_llama3(const RopeScaling& r, std::vector<double>& frequencies) {
  const double original = original_length(r);
  for (double& f : frequencies) {
    const double turns = original * f / (2 * std::numbers::pi);
    const double share = (turns - r.low_freq_factor) / (r.high_freq_factor - r.low_freq_factor);
    const double kept = std::clamp(share, 0.0, 1.0);
    f = (1 - kept) * f / r.factor + kept * f;
  }
}

/// The index of the frequency that turns `turns` times within the original length.
double index_of(double turns, const ModelConfig& c) {
  return static_cast<double>(c.rotary_dims()) *
         std::log(original_length(c.rope_scaling) / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(c.rotary_emb_base));
}

void scale_yarn(const ModelConfig& c, std::vector<double>& frequencies) {
  const RopeScaling& r = c.rope_scaling;
  const double low = std::max(std::floor(index_of(r.beta_fast, c)), 0.0);
  double high =
      std::min(std::ceil(index_of(r.beta_slow, c)), static_cast<double>(c.rotary_dims() - 1));
  if (high == low) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double scaled = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= scaled / r.factor + (1 - scaled);
  }
}

}  // namespace

ops::RotaryTable rotary_rule(const ModelConfig& config, DType dtype, bool local) {
  using Type = RopeScaling::Type;
  const RopeScaling& r = config.rope_scaling;
  const std::int64_t dims = config.rotary_dims();
  const double base = local ? config.rotary_emb_local_base : config.rotary_emb_base;
  ops::RotaryTable table{.dtype = dtype,
                         .seq = config.seq_length,
                         .rotary_dim = dims,
                         .base = base,
                         .frequencies = plain(base, dims)};
  if (local) return table;
  switch (r.type) {
    case Type::none:
      break;
    case Type::linear:
      for (double& f : table.frequencies) f /= r.factor;
      break;
    case Type::dynamic:
      table.frequencies = plain(dynamic_base(config), dims);
      break;
    case Type::llama3:
      scale_llama3(r, table.frequencies);
      break;
    case Type::yarn:
      scale_yarn(config, table.frequencies);
      table.factor = r.attention_factor > 0 ? r.attention_factor : 0.1 * std::log(r.factor) + 1;
      break;
  }
  return table;
}

}  // namespace trireme
