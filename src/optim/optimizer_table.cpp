// SPDX-License-Identifier: Apache-2.0
// One row for each optimizer.
#include "trireme/optim/optimizer_table.hpp"

#include <algorithm>

#include "trireme/ops/update.hpp"

namespace trireme {

namespace {

using Config = OptimizerConfig;

std::vector<const char*> adamw_arrays(const Config& /*config*/) {
  return {"exp_avg", "exp_avg_sq"};
}

void update_by_adamw(const Exec& ex, const Config& config, double lr, double weight_decay,
                     const UpdateArrays& a) {
  ops::adamw(ex, {.step = {.lr = lr,
                           .beta1 = config.beta1,
                           .beta2 = config.beta2,
                           .epsilon = config.epsilon,
                           .weight_decay = weight_decay},
                  .gradient = a.gradient,
                  .value = a.value,
                  .exp_avg = a.state[0],
                  .exp_avg_sq = a.state[1],
                  .copy = a.copy,
                  .state = a.decision});
}

std::vector<const char*> sgd_arrays(const Config& config) {
  if (config.momentum == 0) return {};
  return {"momentum"};
}

void update_by_sgd(const Exec& ex, const Config& config, double lr, double weight_decay,
                   const UpdateArrays& a) {
  ops::sgd(ex, {.step = {.lr = lr, .momentum = config.momentum, .weight_decay = weight_decay},
                .gradient = a.gradient,
                .value = a.value,
                .momentum = a.state.empty() ? View() : a.state[0],
                .copy = a.copy,
                .state = a.decision});
}

}  // namespace

std::span<const OptimizerRow> optimizer_table() {
  static const std::vector<OptimizerRow> table = {
      {.kind = OptimizerKind::adamw,
       .name = "AdamW",
       .aliases = {"Adam"},
       .keys = {{"betas", {&Config::beta1, &Config::beta2}}, {"eps", {&Config::epsilon}}},
       .state_arrays = adamw_arrays,
       .update = update_by_adamw},
      {.kind = OptimizerKind::sgd,
       .name = "SGD",
       .aliases = {},
       .keys = {{"momentum", {&Config::momentum}}},
       .state_arrays = sgd_arrays,
       .update = update_by_sgd},
  };
  return table;
}

const OptimizerRow& optimizer_row(OptimizerKind kind) {
  const auto table = optimizer_table();
  const auto row = std::ranges::find(table, kind, &OptimizerRow::kind);
  TRM_CHECK(row != table.end(), "optimizer {} is in no row of the table",
            static_cast<int>(kind));
  return *row;
}

std::vector<const char*> state_arrays(const OptimizerConfig& config) {
  return optimizer_row(config.kind).state_arrays(config);
}

}  // namespace trireme
