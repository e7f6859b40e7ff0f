// SPDX-License-Identifier: Apache-2.0
// Settings of the update and of the learning rate. Plain data; the deck fills it.
#pragma once

#include <cstdint>

namespace trireme {

enum class OptimizerKind : std::uint8_t { adamw, sgd };

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::adamw;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double momentum = 0;  ///< SGD
  double weight_decay = 0.1;
  double gradient_clipping = 1.0;               ///< global norm; 0 = off
  std::int64_t reduce_bucket_size = 6'500'000;  ///< elements in one reduction (25 MiB)
  friend bool operator==(const OptimizerConfig&, const OptimizerConfig&) = default;
};

enum class DecayStyle : std::uint8_t { constant, linear, cosine, exponential };

struct ScheduleConfig {
  double lr = 0;
  double min_lr = 0;
  double warmup = 0.01;  ///< fraction of lr_decay_iters
  std::int64_t lr_decay_iters = 0;
  DecayStyle lr_decay_style = DecayStyle::linear;
  friend bool operator==(const ScheduleConfig&, const ScheduleConfig&) = default;
};

}  // namespace trireme
